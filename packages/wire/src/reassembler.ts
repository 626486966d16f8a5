import { concat, equalBytes } from './bytes.ts';
import type { Fragment } from './datagram.ts';
import { LIMITS } from './registry.ts';

export interface ReassemblerOptions {
  /** Packets in pieces held at once. */
  readonly maxPackets?: number;
  /** Bytes of all pieces held at once. */
  readonly maxBytes?: number;
  /** Bytes of one packet. */
  readonly maxPacketBytes?: number;
  /** From a packet's first piece to its last. */
  readonly timeoutMs?: number;
}

/** Counts of packets, but `duplicate`, which counts pieces. */
export interface ReassemblerCounters {
  readonly completed: number;
  /** Not whole in time. */
  readonly expired: number;
  /** The oldest, given up because too many packets or bytes were held. */
  readonly evicted: number;
  /** The same piece again, ignored. */
  readonly duplicate: number;
  /** Pieces that cannot belong to one packet: all of them dropped. */
  readonly contradictory: number;
  /** Over maxPacketBytes. */
  readonly tooLarge: number;
}

/**
 * Puts packets together from pieces of one sender under one relay id or flow id. The rules, the same in
 * `native/quic` and pinned by `vectors/fragment.json`, in the order in which they apply to each piece:
 *
 * 1. Packets begun `timeoutMs` ago or earlier are dropped: expired.
 * 2. A piece that its packet already has, with the same bytes and last bit, is ignored: duplicate.
 * 3. The packet and the piece are dropped as contradictory when the index is taken by other bytes or another last
 *    bit, when a last piece is known and this is another last or lies beyond it, or when this is the last piece
 *    and one beyond it is held.
 * 4. A packet that would exceed maxPacketBytes is dropped with the piece: tooLarge.
 * 5. For a new packet at maxPackets, the oldest is dropped. While the piece would exceed maxBytes, the oldest other
 *    packet is dropped; if there is none, this one with the piece. All: evicted.
 * 6. The piece is kept; with pieces 0 to last all there, the packet is whole: completed.
 */
export class Reassembler {
  readonly #maxPackets: number;
  readonly #maxBytes: number;
  readonly #maxPacketBytes: number;
  readonly #timeoutMs: number;
  /** In order of their first piece. */
  readonly #partials = new Map<number, Partial>();
  #bytes = 0;
  readonly #counters = {
    completed: 0,
    expired: 0,
    evicted: 0,
    duplicate: 0,
    contradictory: 0,
    tooLarge: 0,
  };

  constructor(options: ReassemblerOptions = {}) {
    this.#maxPackets = options.maxPackets ?? LIMITS.partialPackets;
    this.#maxBytes = options.maxBytes ?? LIMITS.partialBytes;
    this.#maxPacketBytes = options.maxPacketBytes ?? LIMITS.reassembledPacket;
    this.#timeoutMs = options.timeoutMs ?? LIMITS.reassemblyMs;
  }

  /** Takes one piece at `now` (ms, never falling); returns the packet when this piece makes it whole. */
  handleFragment(fragment: Fragment, now: number): Uint8Array | undefined {
    this.handleTimeout(now);
    const { packetId, index, last, bytes } = fragment;
    const held = this.#partials.get(packetId);
    if (held !== undefined) {
      const verdict = compare(held, fragment);
      if (verdict === 'duplicate') this.#counters.duplicate++;
      if (verdict === 'contradictory') this.#drop(packetId, held, 'contradictory');
      if (verdict !== 'new') return undefined;
    }
    if ((held?.size ?? 0) + bytes.length > this.#maxPacketBytes) {
      if (held === undefined) this.#counters.tooLarge++;
      else this.#drop(packetId, held, 'tooLarge');
      return undefined;
    }
    if (!this.#makeRoom(packetId, held, bytes.length)) return undefined;
    const partial = held ?? { startedAt: now, pieces: new Map(), size: 0, highest: 0, last: undefined };
    if (held === undefined) this.#partials.set(packetId, partial);
    partial.pieces.set(index, bytes.slice());
    partial.size += bytes.length;
    partial.highest = Math.max(partial.highest, index);
    if (last) partial.last = index;
    this.#bytes += bytes.length;
    if (partial.last === undefined || partial.pieces.size !== partial.last + 1) return undefined;
    this.#drop(packetId, partial, 'completed');
    return concat(...[...partial.pieces].sort(([a], [b]) => a - b).map(([, piece]) => piece));
  }

  /** Drops the packets whose time is up. */
  handleTimeout(now: number): void {
    for (const [packetId, partial] of this.#partials) {
      if (now - partial.startedAt < this.#timeoutMs) return;
      this.#drop(packetId, partial, 'expired');
    }
  }

  /** When handleTimeout has something to do; undefined while nothing is held. */
  pollTimeout(): number | undefined {
    for (const partial of this.#partials.values()) return partial.startedAt + this.#timeoutMs;
    return undefined;
  }

  get counters(): ReassemblerCounters {
    return { ...this.#counters };
  }

  /** What is held now. */
  get held(): { readonly packets: number; readonly bytes: number } {
    return { packets: this.#partials.size, bytes: this.#bytes };
  }

  #makeRoom(packetId: number, held: Partial | undefined, size: number): boolean {
    if (held === undefined && this.#partials.size >= this.#maxPackets) this.#evictOldestBut(packetId);
    while (this.#bytes + size > this.#maxBytes) {
      if (this.#evictOldestBut(packetId)) continue;
      if (held === undefined) this.#counters.evicted++;
      else this.#drop(packetId, held, 'evicted');
      return false;
    }
    return true;
  }

  #evictOldestBut(packetId: number): boolean {
    for (const [id, partial] of this.#partials) {
      if (id === packetId) continue;
      this.#drop(id, partial, 'evicted');
      return true;
    }
    return false;
  }

  #drop(packetId: number, partial: Partial, cause: keyof ReassemblerCounters): void {
    this.#partials.delete(packetId);
    this.#bytes -= partial.size;
    this.#counters[cause]++;
  }
}

interface Partial {
  readonly startedAt: number;
  readonly pieces: Map<number, Uint8Array>;
  size: number;
  highest: number;
  last: number | undefined;
}

function compare(held: Partial, { index, last, bytes }: Fragment): 'new' | 'duplicate' | 'contradictory' {
  const taken = held.pieces.get(index);
  if (taken !== undefined) {
    return equalBytes(taken, bytes) && (held.last === index) === last ? 'duplicate' : 'contradictory';
  }
  if (held.last !== undefined && (last || index > held.last)) return 'contradictory';
  return last && held.highest > index ? 'contradictory' : 'new';
}
