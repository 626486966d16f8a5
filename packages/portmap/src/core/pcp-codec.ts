// PCP, RFC 6887: the common header (section 7), MAP (11.1) and ANNOUNCE (14.1). Big-endian.
import { fail, ok, type Result } from '@ztna/wire';

/** Largest PCP message (section 7). */
export const maxPcpBytes = 1100;

const version = 2;
const opAnnounce = 0;
const opMap = 1;
const udp = 17;
const responseBit = 0x80;
const headerBytes = 24;
const mapBytes = 36;

/** Section 7.4. */
export const pcpResultNames: readonly string[] = [
  ...['success', 'unsupported version', 'not authorized', 'malformed request', 'unsupported opcode'],
  ...['unsupported option', 'malformed option', 'network failure', 'no resources', 'unsupported protocol'],
  ...['user exceeded quota', 'cannot provide external address', 'address mismatch', 'excessive remote peers'],
];

export interface PcpMapRequest {
  /** 12 random bytes that the answer must repeat; the same for renewals and the deletion of a mapping. */
  readonly nonce: Uint8Array;
  /** Seconds; 0 deletes. */
  readonly lifetime: number;
  /** Our address as the gateway sees it, 16 bytes. */
  readonly client: Uint8Array;
  readonly internalPort: number;
  /** 0 for any. */
  readonly suggestedPort: number;
  /** 16 bytes; all zeros (with the IPv4 prefix for IPv4) for any. */
  readonly suggestedAddress: Uint8Array;
}

export type PcpResponse =
  | {
      readonly type: 'map';
      readonly result: number;
      /** Seconds of the mapping, or for how long the error holds. */
      readonly lifetime: number;
      /** Seconds since the gateway has its state. */
      readonly epoch: number;
      readonly nonce: Uint8Array;
      readonly protocol: number;
      readonly internalPort: number;
      readonly externalPort: number;
      readonly externalAddress: Uint8Array;
    }
  /** Answer to ANNOUNCE, or sent unasked by a gateway that restarted. */
  | { readonly type: 'announce'; readonly result: number; readonly epoch: number }
  /** The gateway speaks another version only; 0 is NAT-PMP. */
  | { readonly type: 'other-version'; readonly version: number };

export function encodePcpMap(request: PcpMapRequest): Uint8Array {
  const bytes = new Uint8Array(headerBytes + mapBytes);
  const view = new DataView(bytes.buffer);
  bytes[0] = version;
  bytes[1] = opMap;
  view.setUint32(4, request.lifetime);
  bytes.set(request.client.subarray(0, 16), 8);
  bytes.set(request.nonce.subarray(0, 12), headerBytes);
  bytes[36] = udp;
  view.setUint16(40, request.internalPort);
  view.setUint16(42, request.suggestedPort);
  bytes.set(request.suggestedAddress.subarray(0, 16), 44);
  return bytes;
}

/** Options behind the opcode's data are skipped: none was asked for. */
export function decodePcpResponse(bytes: Uint8Array): Result<PcpResponse> {
  if (bytes.length > maxPcpBytes) return fail('too-large', 'pcp', `${bytes.length} bytes`);
  const [first, op = 0] = bytes;
  if (first === undefined || bytes.length < 4) return fail('truncated', 'pcp', 'shorter than a header');
  if ((op & responseBit) === 0) return fail('invalid', 'pcp.r', 'a request');
  // Other versions promise nothing but the first bytes; NAT-PMP's refusal has 8.
  if (first !== version) return ok({ type: 'other-version', version: first });
  if (bytes.length < headerBytes) return fail('truncated', 'pcp', 'shorter than a header');
  if (bytes.length % 4 !== 0) return fail('malformed', 'pcp', 'length is no multiple of 4');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const result = view.getUint8(3);
  const epoch = view.getUint32(8);
  const opcode = op & 0x7f;
  if (opcode === opAnnounce) return ok({ type: 'announce', result, epoch });
  if (opcode !== opMap) return fail('frame-type', 'pcp.opcode', `opcode ${opcode}`);
  if (bytes.length < headerBytes + mapBytes) return fail('truncated', 'pcp.map', `${bytes.length} bytes`);
  return ok({
    type: 'map',
    result,
    lifetime: view.getUint32(4),
    epoch,
    nonce: bytes.slice(24, 36),
    protocol: view.getUint8(36),
    internalPort: view.getUint16(40),
    externalPort: view.getUint16(42),
    externalAddress: bytes.slice(44, 60),
  });
}

/** Whether an answer to MAP is about UDP. */
export function isUdp(protocol: number): boolean {
  return protocol === udp;
}
