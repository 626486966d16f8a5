import type { VirtualTime } from '@ztna/sim';
import type { PeerIdentity } from '../../src/types.ts';

/** What a QUIC connection does for the cores, reduced to it: identities, reliable messages, datagrams, loss detection. */
export type Frame =
  | { readonly kind: 'hi' | 'hi-ack'; readonly identity: PeerIdentity }
  | { readonly kind: 'data'; readonly seq: number; readonly message: unknown }
  | { readonly kind: 'ack'; readonly upTo: number }
  | { readonly kind: 'datagram'; readonly relayId: number; readonly packet: Packet }
  | { readonly kind: 'ping' | 'pong' | 'reset' }
  | { readonly kind: 'close'; readonly last: unknown; readonly reason: string };

export interface Packet {
  readonly connection: string;
  /** Whose: each direction has keys of its own, so that a packet sent back to its sender is noise. */
  readonly side?: 'client' | 'server';
  /** Made by the server in each handshake: packets of another one are not of this connection, though its id be the same. */
  readonly cookie?: number;
  readonly frame: Frame;
}

export interface FakeConnectionOptions {
  readonly id: string;
  readonly side: 'client' | 'server';
  readonly self: PeerIdentity;
  readonly time: VirtualTime;
  readonly idleMs: number;
  readonly transmit: (packet: Packet) => void;
  readonly onOpen: (peer: PeerIdentity) => void;
  readonly onMessage: (message: unknown) => void;
  readonly onDatagram?: (relayId: number, packet: Packet) => void;
  readonly onStalled?: (stalled: boolean) => void;
  readonly onLost: (reason: string) => void;
}

const RETRANSMIT_MS = 250;
const CALM_MS = 2_000;
const STALL_MS = 1_200;

/** One side of a connection. Messages arrive once and in order, or the connection is lost. */
export class FakeConnection {
  static #handshakes = 0;
  readonly #o: FakeConnectionOptions;
  #cookie: number | undefined;
  readonly #unacked = new Map<number, unknown>();
  readonly #early = new Map<number, unknown>();
  #nextSeq = 0;
  #expected = 0;
  #open = false;
  #dead = false;
  #lastHeard: number;
  #stalled = false;
  #cancelTick: () => void = () => {};

  constructor(options: FakeConnectionOptions) {
    this.#o = options;
    this.#lastHeard = options.time.now;
    if (options.side === 'server') this.#cookie = ++FakeConnection.#handshakes;
    if (options.side === 'client') this.#transmit({ kind: 'hi', identity: options.self });
    this.#arm();
  }

  send(message: unknown) {
    if (this.#dead) return;
    const seq = this.#nextSeq++;
    this.#unacked.set(seq, message);
    this.#transmit({ kind: 'data', seq, message });
    this.#arm();
  }

  sendDatagram(relayId: number, packet: Packet) {
    if (this.#open && !this.#dead) this.#transmit({ kind: 'datagram', relayId, packet });
  }

  /** Closes; `last` reaches the peer if this packet does. */
  close(reason: string, last?: unknown) {
    if (this.#dead) return;
    this.#transmit({ kind: 'close', last, reason });
    this.dispose();
  }

  /** The process died: nothing more is sent or heard. */
  dispose() {
    this.#dead = true;
    this.#cancelTick();
  }

  receive({ connection, side, cookie, frame }: Packet) {
    if (this.#dead || connection !== this.#o.id || side === this.#o.side) return;
    if (cookie !== undefined && this.#cookie !== undefined && cookie !== this.#cookie) {
      // Of a handshake before this one: as the server had forgotten it, its client is told.
      if (this.#o.side === 'server') this.#o.transmit({ connection: this.#o.id, frame: { kind: 'reset' } });
      return;
    }
    this.#cookie ??= cookie;
    this.#lastHeard = this.#o.time.now;
    if (this.#stalled) {
      this.#stalled = false;
      this.#o.onStalled?.(false);
    }
    switch (frame.kind) {
      case 'hi':
        this.#transmit({ kind: 'hi-ack', identity: this.#o.self });
        return this.#opened(frame.identity);
      case 'hi-ack':
        return this.#opened(frame.identity);
      case 'data':
        return this.#onData(frame.seq, frame.message);
      case 'ack':
        for (const seq of this.#unacked.keys()) if (seq < frame.upTo) this.#unacked.delete(seq);
        return;
      case 'datagram':
        return this.#o.onDatagram?.(frame.relayId, frame.packet);
      case 'ping':
        return this.#transmit({ kind: 'pong' });
      case 'pong':
        return;
      case 'reset':
        return this.#lose('reset');
      case 'close':
        if (frame.last !== undefined && this.#open) this.#o.onMessage(frame.last);
        return this.#lose(`closed by peer: ${frame.reason}`);
    }
  }

  #opened(peer: PeerIdentity) {
    if (this.#open) return;
    this.#open = true;
    this.#o.onOpen(peer);
  }

  #onData(seq: number, message: unknown) {
    if (seq >= this.#expected) this.#early.set(seq, message);
    while (this.#open && this.#early.has(this.#expected) && !this.#dead) {
      const next = this.#early.get(this.#expected);
      this.#early.delete(this.#expected++);
      this.#o.onMessage(next);
    }
    if (!this.#dead) this.#transmit({ kind: 'ack', upTo: this.#expected });
  }

  #arm() {
    this.#cancelTick();
    const busy = !this.#open || this.#unacked.size > 0;
    this.#cancelTick = this.#o.time.after(busy ? RETRANSMIT_MS : CALM_MS, () => this.#tick());
  }

  #tick() {
    const silent = this.#o.time.now - this.#lastHeard;
    if (silent >= this.#o.idleMs) return this.#lose('idle timeout');
    if (!this.#open && this.#o.side === 'client') this.#transmit({ kind: 'hi', identity: this.#o.self });
    for (const [seq, message] of this.#unacked) this.#transmit({ kind: 'data', seq, message });
    if (this.#unacked.size === 0 && this.#open) this.#transmit({ kind: 'ping' });
    if (this.#unacked.size > 0 && silent > STALL_MS && !this.#stalled) {
      this.#stalled = true;
      this.#o.onStalled?.(true);
    }
    if (!this.#dead) this.#arm();
  }

  #lose(reason: string) {
    if (this.#dead) return;
    this.dispose();
    this.#o.onLost(reason);
  }

  #transmit(frame: Frame) {
    const { id, side } = this.#o;
    const cookie = this.#cookie !== undefined && { cookie: this.#cookie };
    this.#o.transmit({ connection: id, side, ...cookie, frame });
  }
}

/** What a process answers to a packet of a connection that it does not know. */
export function resetFor(packet: Packet): Packet | undefined {
  const { kind } = packet.frame;
  return kind === 'reset' || kind === 'close'
    ? undefined
    : { connection: packet.connection, frame: { kind: 'reset' } };
}
