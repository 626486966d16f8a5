import { isIP, isIPv6 } from 'node:net';

/** Where to listen or connect: an address or a name, and a port (0 when listening: any free one). */
export interface Address {
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
}

const hostName = /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?$/i;

/** Reads `127.0.0.1:80`, `[::1]:80`, `name:80`; undefined when it is none of these. */
export function parseAddress(text: string): Address | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  if (!match) return undefined;
  const [, bracketed, plain, digits] = match;
  const port = Number(digits);
  if (port > 65535) return undefined;
  if (bracketed !== undefined) return isIPv6(bracketed) ? { host: bracketed, port } : undefined;
  if (plain === undefined || !(isIP(plain) || isHostName(plain))) return undefined;
  return { host: plain, port };
}

/** Reads an address to listen on: IP literal or `localhost` only, so that what is bound is plain to see. */
export function parseListenAddress(text: string): Address | undefined {
  const address = parseAddress(text);
  if (!address) return undefined;
  return isIP(address.host) || address.host === 'localhost' ? address : undefined;
}

/** `host:port`, with brackets round an IPv6 address. */
export function formatAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Whether an address can be reached from this machine alone. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host);
}

/** A dotted name whose last label is not all digits (`256.1.1.1` is a mistyped address, not a name). */
function isHostName(text: string): boolean {
  return hostName.test(text) && !/(^|\.)\d+\.?$/.test(text);
}
