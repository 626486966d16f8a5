import { fail, ok, type Result } from './result.ts';

/** Largest value this module carries: exact in a JavaScript number, below RFC 9000's 2^62 - 1. */
export const MAX_VARINT = Number.MAX_SAFE_INTEGER;

/** Bytes that the minimal encoding of `value` takes: 1, 2, 4 or 8. */
export function varintSize(value: number): 1 | 2 | 4 | 8 {
  if (!Number.isInteger(value) || value < 0 || value > MAX_VARINT) {
    throw new RangeError(`not a varint value: ${value}`);
  }
  if (value < 0x40) return 1;
  if (value < 0x4000) return 2;
  return value < 0x4000_0000 ? 4 : 8;
}

/** Minimal QUIC variable-length integer, RFC 9000 §16. */
export function encodeVarint(value: number): Uint8Array {
  const size = varintSize(value);
  const out = new Uint8Array(size);
  const view = new DataView(out.buffer);
  if (size === 1) view.setUint8(0, value);
  else if (size === 2) view.setUint16(0, 0x4000 + value);
  else if (size === 4) view.setUint32(0, 0x8000_0000 + value);
  else view.setBigUint64(0, 0xc000_0000_0000_0000n + BigInt(value));
  return out;
}

/**
 * Decodes the varint at `offset`. Stricter than RFC 9000: a value in more bytes than it needs is refused
 * (`non-minimal`), because the forwarding table matches ids by their bytes and two spellings of one id would be
 * two ids to it. Values over MAX_VARINT are `out-of-range`.
 */
export function decodeVarint(bytes: Uint8Array, offset = 0, field = 'varint'): Result<Varint> {
  const first = bytes[offset];
  if (first === undefined) return fail('truncated', field, 'no byte of a varint');
  const size = 1 << (first >> 6);
  if (offset + size > bytes.length) return fail('truncated', field, `a varint of ${size} bytes is cut off`);
  let value = first & 0x3f;
  for (let i = 1; i < size; i++) value = value * 256 + (bytes[offset + i] ?? 0);
  if (value > MAX_VARINT) return fail('out-of-range', field, 'over 2^53 - 1');
  if (varintSize(value) !== size) return fail('non-minimal', field, `${value} in ${size} bytes`);
  return ok({ value, size });
}

export interface Varint {
  readonly value: number;
  /** Bytes taken. */
  readonly size: number;
}
