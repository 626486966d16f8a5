import { concat } from './bytes.ts';
import type { FlowId, RelayId } from './ids.ts';
import { FRAME } from './registry.ts';
import { encodeVarint } from './varint.ts';

/**
 * What stands before a payload in a datagram: `whole` before a whole payload, `fragment` before
 * `[packet id u16, index|last u8, bytes]`. The native forwarding table, virtual paths and UDP flows take these.
 */
export interface FramePrefix {
  readonly whole: Uint8Array;
  readonly fragment: Uint8Array;
}

/** Prefixes of a session's packets on an outer connection. */
export function relayPrefix(id: RelayId): FramePrefix {
  return prefix(FRAME.RELAY, FRAME.RELAY_FRAGMENT, id);
}

/** Prefixes of a UDP flow's payloads on an inner connection. */
export function flowPrefix(id: FlowId): FramePrefix {
  return prefix(FRAME.FLOW, FRAME.FLOW_FRAGMENT, id);
}

function prefix(whole: number, fragment: number, id: number): FramePrefix {
  const varint = encodeVarint(id);
  return { whole: concat(Uint8Array.of(whole), varint), fragment: concat(Uint8Array.of(fragment), varint) };
}
