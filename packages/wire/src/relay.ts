import { decodeFramed, encodeFragment, encodeWhole, type Framed } from './datagram.ts';
import type { RelayId } from './ids.ts';
import { relayPrefix } from './prefix.ts';
import { FRAME, LIMITS } from './registry.ts';
import type { Result } from './result.ts';

/** A datagram of an outer connection: a packet of an inner connection, or a piece of one. */
export type RelayDatagram = Framed<RelayId>;

const LAYOUT = {
  whole: FRAME.RELAY,
  fragment: FRAME.RELAY_FRAGMENT,
  maxId: LIMITS.relayId,
  idName: 'relay id',
} as const;

/** Decodes `[0x2E, …]` and `[0x2D, …]`. Errors: truncated, frame-type, non-minimal, out-of-range. */
export function decodeRelayDatagram(datagram: Uint8Array): Result<RelayDatagram> {
  return decodeFramed<RelayId>(datagram, LAYOUT);
}

export function encodeRelayDatagram(datagram: RelayDatagram): Uint8Array {
  const prefix = relayPrefix(datagram.id);
  return datagram.type === 'whole'
    ? encodeWhole(prefix, datagram.payload)
    : encodeFragment(prefix, datagram.fragment);
}
