/**
 * The little of DER (ITU-T X.690) that checking a peer after each handshake needs. @peculiar/x509
 * parses the same in half a millisecond per certificate, on the event loop; this takes microseconds,
 * and refuses what is not DER (indefinite or padded lengths, high tag numbers) instead of bearing it.
 */

/** One element: `bytes` is the whole of it, `value` its contents. */
export interface DerElement {
  readonly tag: number;
  readonly bytes: Uint8Array;
  readonly value: Uint8Array;
}

/** Thrown for anything that is not DER; callers at the boundary turn it into a typed error. */
export class DerError extends Error {}

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  sequence: 0x30,
} as const;

/** The elements of `bytes`, which must hold nothing else. At most `limit` of them. */
export function readAll(bytes: Uint8Array, limit = 64): DerElement[] {
  const elements: DerElement[] = [];
  let offset = 0;
  while (offset < bytes.length) {
    if (elements.length === limit) throw new DerError(`more than ${limit} elements`);
    const element = readOne(bytes, offset);
    elements.push(element);
    offset += element.bytes.length;
  }
  return elements;
}

/** The one element that fills `bytes`. */
export function readOnly(bytes: Uint8Array, tag?: number): DerElement {
  const element = readOne(bytes, 0);
  if (element.bytes.length !== bytes.length) throw new DerError('bytes after the element');
  return tag === undefined ? element : expectTag(element, tag);
}

/** The element, if it has this tag. */
export function expectTag(element: DerElement | undefined, tag: number): DerElement {
  if (element?.tag !== tag) throw new DerError(`expected tag ${tag}, found ${element?.tag ?? 'nothing'}`);
  return element;
}

/** Dotted text of an object identifier's contents. */
export function oidText(value: Uint8Array): string {
  const parts: bigint[] = [];
  let part = 0n;
  let open = false;
  for (const byte of value) {
    if (!open && byte === 0x80) throw new DerError('padded object identifier');
    part = (part << 7n) | BigInt(byte & 0x7f);
    open = (byte & 0x80) !== 0;
    if (open) continue;
    parts.push(part);
    part = 0n;
  }
  const [first, ...rest] = parts;
  if (open || first === undefined) throw new DerError('truncated object identifier');
  const top = first < 80n ? first / 40n : 2n;
  return [top, first - top * 40n, ...rest].join('.');
}

/** Encodes one element. */
export function der(tag: number, ...contents: Uint8Array[]): Uint8Array {
  const length = contents.reduce((sum, part) => sum + part.length, 0);
  return concat(Uint8Array.of(tag, ...lengthBytes(length)), ...contents);
}

/** Encodes a non-negative integer below 2^31. */
export function derInteger(value: number): Uint8Array {
  const bytes = [(value >>> 24) & 0xff, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff];
  while (bytes.length > 1 && bytes[0] === 0 && (bytes[1] ?? 0) < 0x80) bytes.shift();
  return der(TAG.integer, Uint8Array.from(bytes));
}

/** Joins byte strings. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    out.set(part, offset);
    offset += part.length;
  }
  return out;
}

function readOne(bytes: Uint8Array, start: number): DerElement {
  const tag = bytes[start];
  const first = bytes[start + 1];
  if (tag === undefined || first === undefined) throw new DerError('truncated element');
  if ((tag & 0x1f) === 0x1f) throw new DerError('high tag number');
  const [length, lengthSize] = first < 0x80 ? [first, 1] : readLongLength(bytes, start + 1, first);
  const from = start + 1 + lengthSize;
  if (from + length > bytes.length) throw new DerError('truncated element');
  return { tag, bytes: bytes.subarray(start, from + length), value: bytes.subarray(from, from + length) };
}

function readLongLength(bytes: Uint8Array, at: number, first: number): [number, number] {
  const size = first & 0x7f;
  if (size === 0 || size > 3) throw new DerError('indefinite or oversized length');
  let length = 0;
  for (let i = 1; i <= size; i++) length = length * 256 + (bytes[at + i] ?? 0);
  if (length < 0x80 || length < 256 ** (size - 1)) throw new DerError('padded length');
  return [length, size + 1];
}

function lengthBytes(length: number): number[] {
  if (length < 0x80) return [length];
  if (length < 0x100) return [0x81, length];
  if (length < 0x10000) return [0x82, length >> 8, length & 0xff];
  return [0x83, length >> 16, (length >> 8) & 0xff, length & 0xff];
}
