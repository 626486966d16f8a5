import type { PeerIdentity, PeerRefusal } from '@ztna/identity';
import { ControlStream, closeReason, closeRefused, closeWith, endOrderly, refusedError } from '@ztna/link';
import type { Connection, QuicStream } from '@ztna/quic';
import type { Logger } from '@ztna/runtime';
import type { ConnectionKey, IntermediateInput } from '@ztna/session';
import { type ControlMessage, type Result, type WireError, wireError, wireErrorNumber } from '@ztna/wire';

export interface PeersOptions {
  readonly verify: (chain: readonly Uint8Array[]) => Result<PeerIdentity, PeerRefusal>;
  /** Whether a peer that was let in may stay. */
  readonly review: (identity: PeerIdentity) => PeerRefusal | undefined;
  readonly input: (input: IntermediateInput) => void;
  /** Datagrams that no forwarding rule took: of unknown, closed or foreign sessions, or no frames at all. */
  readonly onUnclaimed: (datagrams: number) => void;
  /** A stream that is not the control stream. */
  readonly onStreamRefused: () => void;
  readonly onHandshake: (outcome: PeerRefusal['code'] | 'accepted') => void;
  readonly log: Logger;
}

/** Longest reason of a peer's that is logged, in characters. */
const MAX_REASON = 200;

interface Peer {
  readonly key: ConnectionKey;
  readonly identity: PeerIdentity;
  readonly connection: Connection;
  control: ControlStream | undefined;
  ending: boolean;
  /** What it gave as reason in its Goodbye. */
  goodbye: string | undefined;
}

/** The connections that arrive: verifies who they are, joins their control streams to the core. */
export class Peers {
  readonly #options: PeersOptions;
  readonly #peers = new Map<ConnectionKey, Peer>();
  #lastKey = 0;

  constructor(options: PeersOptions) {
    this.#options = options;
  }

  /** For `Endpoint.onConnection`. */
  readonly admit = (connection: Connection): void => {
    const { verify, input, onHandshake, log } = this.#options;
    const identity = verify(connection.peerChain);
    onHandshake(identity.ok ? 'accepted' : identity.error.code);
    if (!identity.ok) {
      const { code, detail } = identity.error;
      const { remoteAddress } = connection;
      const event = 'peer.refused';
      log.info({ event, code, detail, remoteAddress }, 'the certificate of a peer is refused');
      return closeRefused(connection, identity.error);
    }
    const key = ++this.#lastKey as ConnectionKey;
    const peer: Peer = {
      ...{ key, identity: identity.value, connection },
      ...{ control: undefined, ending: false, goodbye: undefined },
    };
    this.#peers.set(key, peer);
    log.debug(
      { event: 'peer.connected', peer: key, id: peer.identity.id, remoteAddress: connection.remoteAddress },
      'a peer is connected',
    );
    connection.onBiStream = (stream) => this.#onStream(peer, stream);
    connection.onDatagrams = ({ length }) => this.#options.onUnclaimed(length);
    void connection.closed.then((info) => this.#onGone(peer, closeReason(info)));
    input({ type: 'peer-connected', peer: key, identity: peer.identity });
    if (!peer.ending) connection.accept();
  };

  /** Ends the connections of peers that may not stay; `anew` verifies their chains, as after a change of roots. */
  review(anew: boolean): void {
    const { verify, review, input, log } = this.#options;
    for (const { key, identity, connection, ending } of [...this.#peers.values()]) {
      if (ending) continue;
      const verified = anew ? verify(connection.peerChain) : undefined;
      const refusal = verified?.ok === false ? verified.error : review(identity);
      if (refusal === undefined) continue;
      const { code, detail } = refusal;
      const fields = { event: 'peer.refused', id: identity.id, code, detail };
      log.info(fields, 'the certificate of a peer is no longer accepted');
      input({ type: 'peer-refused', peer: key, error: refusedError(refusal) });
    }
  }

  identity(key: ConnectionKey): PeerIdentity | undefined {
    return this.#peers.get(key)?.identity;
  }

  connection(key: ConnectionKey): Connection | undefined {
    return this.#peers.get(key)?.connection;
  }

  send(key: ConnectionKey, message: ControlMessage): void {
    const peer = this.#peers.get(key);
    if (peer?.control?.send(message) !== false) return;
    closeWith(peer.connection, wireError('limit', 'the peer does not read its control stream'));
  }

  /** Says why, then closes. */
  close(key: ConnectionKey, error: WireError): void {
    const peer = this.#peers.get(key);
    if (!peer || peer.ending) return;
    peer.ending = true;
    if (peer.control) void endOrderly(peer.connection, peer.control, error);
    else closeWith(peer.connection, error);
  }

  /** The first stream is the control stream; there is no other in this version. */
  #onStream(peer: Peer, stream: QuicStream): void {
    const { input } = this.#options;
    const { key, connection } = peer;
    if (peer.control) {
      this.#options.onStreamRefused();
      const code = wireErrorNumber('protocol');
      stream.stop(code);
      stream.reset(code);
      return;
    }
    peer.control = new ControlStream(stream, {
      onMessage: (message) => {
        if (message.type === 'goodbye') peer.goodbye = message.reason.slice(0, MAX_REASON);
        input({ type: 'message', peer: key, message });
      },
      onMalformed: (reason, fatal) => input({ type: 'malformed', peer: key, reason, fatal }),
      onEnd: () => connection.close(),
    });
  }

  #onGone(peer: Peer, closed: string): void {
    const { input, log } = this.#options;
    this.#peers.delete(peer.key);
    // After a Goodbye either side may be the first to close.
    const reason = peer.goodbye === undefined ? closed : `peer: goodbye: ${peer.goodbye}`;
    log.info({ event: 'peer.gone', id: peer.identity.id, reason }, 'a peer is gone');
    input({ type: 'peer-gone', peer: peer.key, reason });
  }
}
