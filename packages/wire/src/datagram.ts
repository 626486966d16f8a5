import { concat } from './bytes.ts';
import type { FramePrefix } from './prefix.ts';
import { LIMITS } from './registry.ts';
import { fail, ok, type Result } from './result.ts';
import { decodeVarint } from './varint.ts';

/** One piece of a packet that did not fit a datagram. */
export interface Fragment {
  /** 0 to 65,535; the top bit is set by relays. */
  readonly packetId: number;
  /** 0 to 127. */
  readonly index: number;
  readonly last: boolean;
  /** Never empty. A view into the datagram. */
  readonly bytes: Uint8Array;
}

/** Bytes of a fragment between its prefix and its payload. */
export const FRAGMENT_HEADER = 3;

/** A datagram behind its prefix. The byte arrays are views into the datagram. */
export type Framed<Id extends number> =
  | { readonly type: 'whole'; readonly id: Id; readonly payload: Uint8Array }
  | { readonly type: 'fragment'; readonly id: Id; readonly fragment: Fragment };

export interface FramedLayout {
  readonly whole: number;
  readonly fragment: number;
  readonly maxId: number;
  /** Name of the id in errors. */
  readonly idName: string;
}

/** Decodes `[type, id varint, …]`. Errors: truncated, frame-type, non-minimal, out-of-range. */
export function decodeFramed<Id extends number>(
  datagram: Uint8Array,
  layout: FramedLayout,
): Result<Framed<Id>> {
  const type = datagram[0];
  if (type === undefined) return fail('truncated', 'datagram', 'an empty datagram');
  if (type !== layout.whole && type !== layout.fragment) {
    return fail('frame-type', 'datagram', `type ${type} is neither ${layout.whole} nor ${layout.fragment}`);
  }
  const varint = decodeVarint(datagram, 1, layout.idName);
  if (!varint.ok) return varint;
  const { value, size } = varint.value;
  if (value < 1 || value > layout.maxId) {
    return fail('out-of-range', layout.idName, `${value} is not from 1 to ${layout.maxId}`);
  }
  const id = value as Id;
  if (type === layout.whole) return ok({ type: 'whole', id, payload: datagram.subarray(1 + size) });
  const fragment = decodeFragmentBody(datagram, 1 + size);
  return fragment.ok ? ok({ type: 'fragment', id, fragment: fragment.value }) : fragment;
}

/** Reads `[packet id u16, index|last u8, bytes]` at `offset`, after a fragment prefix. */
function decodeFragmentBody(datagram: Uint8Array, offset: number): Result<Fragment> {
  const [high, low, place] = datagram.subarray(offset, offset + FRAGMENT_HEADER);
  if (high === undefined || low === undefined || place === undefined) {
    return fail('truncated', 'fragment', `${datagram.length - offset} bytes instead of ${FRAGMENT_HEADER}`);
  }
  const bytes = datagram.subarray(offset + FRAGMENT_HEADER);
  if (bytes.length === 0) return fail('truncated', 'fragment', 'a piece without bytes');
  return ok({ packetId: high * 256 + low, index: place & 0x7f, last: (place & 0x80) !== 0, bytes });
}

/** A whole payload behind its prefix. */
export function encodeWhole(prefix: FramePrefix, payload: Uint8Array): Uint8Array {
  return concat(prefix.whole, payload);
}

/** One piece behind its prefix. Throws RangeError on numbers that the layout cannot hold. */
export function encodeFragment(prefix: FramePrefix, fragment: Fragment): Uint8Array {
  const { packetId, index, last, bytes } = fragment;
  if (!(packetId >= 0 && packetId <= 0xffff)) throw new RangeError(`packet id ${packetId}`);
  if (!(index >= 0 && index < LIMITS.fragmentsPerPacket)) throw new RangeError(`fragment index ${index}`);
  if (bytes.length === 0) throw new RangeError('a fragment without bytes');
  const header = Uint8Array.of(packetId >> 8, packetId & 0xff, (last ? 0x80 : 0) | index);
  return concat(prefix.fragment, header, bytes);
}

/**
 * The datagrams that carry `payload`, none larger than `maxDatagram` bytes: one whole, or pieces of equal size
 * (the last may be shorter). `too-large` when it does not fit LIMITS.fragmentsPerPacket pieces.
 * `packetId` is the sender's counter, without the top bit at an endpoint, with it at a relay.
 */
export function encodePacket(
  prefix: FramePrefix,
  payload: Uint8Array,
  packetId: number,
  maxDatagram: number,
): Result<readonly Uint8Array[]> {
  if (prefix.whole.length + payload.length <= maxDatagram) return ok([encodeWhole(prefix, payload)]);
  const room = maxDatagram - prefix.fragment.length - FRAGMENT_HEADER;
  const count = room > 0 ? Math.ceil(payload.length / room) : Number.POSITIVE_INFINITY;
  if (count > LIMITS.fragmentsPerPacket || payload.length > LIMITS.reassembledPacket) {
    return fail('too-large', 'payload', `${payload.length} bytes for datagrams of ${maxDatagram}`);
  }
  const size = Math.ceil(payload.length / count);
  const datagrams: Uint8Array[] = [];
  for (let at = 0; at < payload.length; at += size) {
    const last = at + size >= payload.length;
    const bytes = payload.subarray(at, at + size);
    datagrams.push(encodeFragment(prefix, { packetId, index: datagrams.length, last, bytes }));
  }
  return ok(datagrams);
}
