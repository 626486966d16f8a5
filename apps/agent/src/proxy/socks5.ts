// SOCKS5, the side of the proxy (RFC 1928). Pure: bytes in, values or typed errors out.
import { done, failed, NEED_MORE, type Parsed } from './parsed.ts';

export const SOCKS_VERSION = 5;

/** Reply codes of RFC 1928 §6. */
export const REPLY = {
  succeeded: 0,
  generalFailure: 1,
  notAllowed: 2,
  networkUnreachable: 3,
  hostUnreachable: 4,
  connectionRefused: 5,
  ttlExpired: 6,
  commandNotSupported: 7,
  addressTypeNotSupported: 8,
} as const;

export type ReplyCode = (typeof REPLY)[keyof typeof REPLY];

/** `reply` answers the request; without it the client is not worth an answer. */
export interface SocksError {
  readonly reply: ReplyCode | undefined;
  readonly detail: string;
}

export interface Greeting {
  readonly noAuthentication: boolean;
}

export type SocksCommand = 'connect' | 'udp-associate';

/** Where to; the address of an `ip` is in text form. */
export interface SocksDestination {
  readonly kind: 'name' | 'ip';
  readonly host: string;
  readonly port: number;
}

export interface SocksRequest {
  readonly command: SocksCommand;
  readonly destination: SocksDestination;
}

/** `[version, count, methods]`, RFC 1928 §3. At most 257 bytes. */
export function parseGreeting(bytes: Uint8Array): Parsed<Greeting, SocksError> {
  const [version, count] = bytes;
  if (version === undefined) return NEED_MORE;
  if (version !== SOCKS_VERSION) return refuse(undefined, `SOCKS version ${version} instead of 5`);
  if (count === undefined) return NEED_MORE;
  if (count === 0) return refuse(undefined, 'the client offers no authentication method');
  const size = 2 + count;
  if (bytes.length < size) return NEED_MORE;
  return done({ noAuthentication: bytes.subarray(2, size).includes(0) }, size);
}

/** `[version, command, 0, address type, address, port]`, RFC 1928 §4. At most 262 bytes. */
export function parseRequest(bytes: Uint8Array): Parsed<SocksRequest, SocksError> {
  const [version, command, reserved] = bytes;
  if (version === undefined) return NEED_MORE;
  if (version !== SOCKS_VERSION) return refuse(undefined, `SOCKS version ${version} in the request`);
  if (command === undefined || reserved === undefined) return NEED_MORE;
  if (reserved !== 0) return refuse(REPLY.generalFailure, 'the reserved byte is not zero');
  const destination = parseDestination(bytes, 3);
  if (destination.type !== 'done') return destination;
  const { value, size } = destination;
  if (command === 1) return done({ command: 'connect', destination: value }, size);
  if (command === 3) return done({ command: 'udp-associate', destination: value }, size);
  return refuse(REPLY.commandNotSupported, `command ${command} is neither CONNECT nor UDP ASSOCIATE`);
}

/** The request header before a datagram, `[0, 0, fragment, address type, address, port]`, RFC 1928 §7. */
export function parseUdpHeader(bytes: Uint8Array): Parsed<SocksDestination, SocksError> {
  if (bytes.length < 3) return NEED_MORE;
  const [first, second, fragment] = bytes;
  if (first !== 0 || second !== 0) return refuse(undefined, 'the reserved bytes are not zero');
  if (fragment !== 0) return refuse(undefined, 'fragments are not supported');
  return parseDestination(bytes, 3);
}

/** The proxy's choice: 0 for no authentication, 0xFF for none acceptable. */
export function encodeMethod(method: 0 | 0xff): Uint8Array {
  return Uint8Array.of(SOCKS_VERSION, method);
}

/** A reply, RFC 1928 §6; the bound address is an IP literal, by default 0.0.0.0:0. */
export function encodeReply(code: ReplyCode, bound = { host: '0.0.0.0', port: 0 }): Uint8Array {
  const address = encodeAddress(bound.host);
  return Uint8Array.of(SOCKS_VERSION, code, 0, ...address, bound.port >> 8, bound.port & 0xff);
}

const IPV4 = 1;
const NAME = 3;
const IPV6 = 4;

function parseDestination(bytes: Uint8Array, at: number): Parsed<SocksDestination, SocksError> {
  const type = bytes[at];
  if (type === undefined) return NEED_MORE;
  if (type !== IPV4 && type !== NAME && type !== IPV6) {
    return refuse(REPLY.addressTypeNotSupported, `address type ${type} is unknown`);
  }
  const length = type === NAME ? bytes[at + 1] : type === IPV4 ? 4 : 16;
  if (length === undefined) return NEED_MORE;
  if (length === 0) return refuse(REPLY.generalFailure, 'the name is empty');
  const start = type === NAME ? at + 2 : at + 1;
  const size = start + length + 2;
  if (bytes.length < size) return NEED_MORE;
  const address = bytes.subarray(start, start + length);
  const port = ((bytes[size - 2] ?? 0) << 8) | (bytes[size - 1] ?? 0);
  if (type !== NAME) return done({ kind: 'ip', host: ipText(address), port }, size);
  const host = String.fromCharCode(...address);
  if (!/^[!-~]+$/.test(host)) return refuse(REPLY.generalFailure, 'the name has bytes that no name has');
  return done({ kind: 'name', host, port }, size);
}

function ipText(address: Uint8Array): string {
  if (address.length === 4) return address.join('.');
  const view = new DataView(address.buffer, address.byteOffset, address.byteLength);
  return Array.from({ length: 8 }, (_, i) => view.getUint16(2 * i).toString(16)).join(':');
}

function encodeAddress(host: string): number[] {
  if (!host.includes(':')) return [IPV4, ...host.split('.').map(Number)];
  const [left = '', right] = host.split('::');
  const groups = (text: string | undefined) => (text ? text.split(':') : []);
  const [head, tail] = [groups(left), groups(right)];
  const zeros = right === undefined ? 0 : 8 - head.length - tail.length;
  const words = [...head, ...Array<string>(zeros).fill('0'), ...tail].map((g) => Number.parseInt(g, 16));
  return [IPV6, ...words.flatMap((word) => [word >> 8, word & 0xff])];
}

function refuse(reply: ReplyCode | undefined, detail: string) {
  return failed<SocksError>({ reply, detail });
}
