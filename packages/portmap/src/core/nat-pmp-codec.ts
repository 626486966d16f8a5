// NAT-PMP, RFC 6886 section 3. Big-endian.
import { fail, ok, type Result } from '@ztna/wire';

const opAddress = 0;
const opMapUdp = 1;
const responseBit = 0x80;

/** Section 3.5. */
export const natPmpResultNames: readonly string[] = [
  ...['success', 'unsupported version', 'not authorized', 'network failure', 'out of resources'],
  'unsupported opcode',
];

export type NatPmpResponse =
  | { readonly type: 'address'; readonly result: 0; readonly epoch: number; readonly address: Uint8Array }
  | {
      readonly type: 'map';
      readonly result: 0;
      readonly epoch: number;
      readonly internalPort: number;
      readonly externalPort: number;
      /** Seconds. */
      readonly lifetime: number;
    }
  /** `opcode` is that of the request. */
  | { readonly type: 'error'; readonly result: number; readonly epoch: number; readonly opcode: number };

/** Asks for the external address (section 3.2). */
export function encodeNatPmpAddress(): Uint8Array {
  return Uint8Array.of(0, opAddress);
}

/** Asks for a UDP mapping (section 3.3); lifetime and external port 0 delete it (3.4). Lifetime in seconds. */
export function encodeNatPmpMap(internalPort: number, externalPort: number, lifetime: number): Uint8Array {
  const bytes = new Uint8Array(12);
  const view = new DataView(bytes.buffer);
  bytes[1] = opMapUdp;
  view.setUint16(4, internalPort);
  view.setUint16(6, externalPort);
  view.setUint32(8, lifetime);
  return bytes;
}

/** The address comes as 16 bytes, IPv4-mapped. */
export function decodeNatPmpResponse(bytes: Uint8Array): Result<NatPmpResponse> {
  if (bytes.length < 8) return fail('truncated', 'nat-pmp', `${bytes.length} bytes`);
  if (bytes.length > 16) return fail('too-large', 'nat-pmp', `${bytes.length} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint8(0) !== 0) return fail('invalid', 'nat-pmp.version', `version ${view.getUint8(0)}`);
  const op = view.getUint8(1);
  if ((op & responseBit) === 0) return fail('invalid', 'nat-pmp.op', 'a request');
  const result = view.getUint16(2);
  const epoch = view.getUint32(4);
  const opcode = op & 0x7f;
  if (result !== 0) return ok({ type: 'error', result, epoch, opcode });
  switch (opcode) {
    case opAddress:
      if (bytes.length !== 12) return fail('malformed', 'nat-pmp.address', `${bytes.length} bytes`);
      return ok({ type: 'address', result, epoch, address: mapped(bytes.subarray(8, 12)) });
    case opMapUdp:
      if (bytes.length !== 16) return fail('malformed', 'nat-pmp.map', `${bytes.length} bytes`);
      return ok({
        type: 'map',
        result,
        epoch,
        internalPort: view.getUint16(8),
        externalPort: view.getUint16(10),
        lifetime: view.getUint32(12),
      });
    default:
      return fail('frame-type', 'nat-pmp.op', `opcode ${opcode}`);
  }
}

function mapped(v4: Uint8Array): Uint8Array {
  return Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...v4]);
}
