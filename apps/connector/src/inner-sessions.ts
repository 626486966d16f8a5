import type { PeerIdentity, PeerRefusal } from '@ztna/identity';
import { closeCode, closeReason, closeRefused, closeWith, type DirectPaths } from '@ztna/link';
import type { CloseInfo, Connection, Endpoint, QuicStream, VirtualPath } from '@ztna/quic';
import type { Logger } from '@ztna/runtime';
import type { ConnectionKey, ConnectorInput, PathPolicy } from '@ztna/session';
import {
  type RelayId,
  type Result,
  relayPrefix,
  type SessionUid,
  type SpiffeId,
  type WireError,
  wireError,
} from '@ztna/wire';

export interface InnerSessionsOptions {
  readonly endpoint: Endpoint;
  readonly carrier: (key: ConnectionKey) => Connection | undefined;
  readonly verify: (chain: readonly Uint8Array[]) => Result<PeerIdentity, PeerRefusal>;
  readonly input: (input: ConnectorInput) => void;
  /** Datagrams that no flow takes. */
  readonly onUnclaimed: (datagrams: number) => void;
  readonly onStream: (session: SessionUid, stream: QuicStream) => void;
  /** For the log. */
  readonly agentOf: (session: SessionUid) => SpiffeId | undefined;
  readonly log: Logger;
  readonly direct: DirectPaths;
}

interface InnerSession {
  readonly uid: SessionUid;
  readonly path: VirtualPath;
  /** Outer connection under the path. */
  carrier: Connection;
  connection: Connection | undefined;
}

/** Sessions as the QUIC endpoint knows them: a virtual path each, and the inner connection that came over it. */
export class InnerSessions {
  readonly #options: InnerSessionsOptions;
  readonly #byUid = new Map<SessionUid, InnerSession>();
  readonly #byPath = new Map<number, InnerSession>();

  constructor(options: InnerSessionsOptions) {
    this.#options = options;
  }

  connection(uid: SessionUid): Connection | undefined {
    return this.#byUid.get(uid)?.connection;
  }

  /** Expects an inner connection behind a relay id of an outer connection. */
  add(uid: SessionUid, carrierKey: ConnectionKey, relayId: RelayId): void {
    const carrier = this.#options.carrier(carrierKey);
    if (!carrier) return; // gone already: the core hears of it, and its timer ends the session
    const prefix = relayPrefix(relayId);
    const path = this.#options.endpoint.addVirtualPath({ carrier, send: prefix, receive: prefix });
    const session: InnerSession = { uid, path, carrier, connection: undefined };
    this.#byUid.set(uid, session);
    this.#byPath.set(path.id, session);
  }

  /** The session goes on over another relay id; its inner connection does not notice. */
  rebind(uid: SessionUid, carrierKey: ConnectionKey, relayId: RelayId): void {
    const session = this.#byUid.get(uid);
    const carrier = this.#options.carrier(carrierKey);
    if (!carrier) return;
    if (!session) return this.add(uid, carrierKey, relayId);
    const prefix = relayPrefix(relayId);
    session.path.rebind({ carrier, send: prefix, receive: prefix });
    session.carrier = carrier;
    session.connection?.ping();
    this.#options.direct.setCarrier(uid, carrier);
  }

  /** What the own snapshot says of the session's paths. */
  setPathPolicy(uid: SessionUid, policy: PathPolicy): void {
    const session = this.#byUid.get(uid);
    if (!session?.connection) return;
    this.#options.direct.setPolicy(uid, policy, session.connection, session.carrier);
  }

  /** For `Endpoint.onConnection`: an inner handshake completed on one of the paths. */
  readonly admit = (connection: Connection): void => {
    const { verify, input, agentOf, log } = this.#options;
    const session = connection.virtualPath && this.#byPath.get(connection.virtualPath.id);
    if (!session) return closeWith(connection, wireError('unknown-session', 'no session is expected here'));
    const identity = verify(connection.peerChain);
    if (!identity.ok) {
      const { code, detail } = identity.error;
      log.warn(
        { event: 'session.agent-refused', session: session.uid, agent: agentOf(session.uid), code, detail },
        'the certificate of the agent at the end of a session is refused',
      );
      return closeRefused(connection, identity.error);
    }
    if (session.connection) {
      return closeWith(connection, wireError('unknown-session', 'the session has its connection already'));
    }
    session.connection = connection;
    void connection.closed.then((info) => this.#onClosed(session, info));
    input({ type: 'inner-connected', session: session.uid, identity: identity.value });
  };

  /**
   * Ends the connections of agents that may not stay. An agent whose certificate runs out loses its connection to the
   * intermediate, and with it the next grant; one that has a new certificate keeps its flows.
   */
  review(): void {
    for (const { uid, connection } of [...this.#byUid.values()]) {
      const identity = connection && this.#options.verify(connection.peerChain);
      if (!identity || identity.ok || identity.error.code === 'expired') continue;
      const { code, detail } = identity.error;
      this.#options.log.info(
        { event: 'session.agent-refused', session: uid, agent: this.#options.agentOf(uid), code, detail },
        'the certificate of the agent at the end of a session is no longer accepted',
      );
      closeRefused(connection, identity.error);
    }
  }

  accept(uid: SessionUid): void {
    const connection = this.connection(uid);
    if (!connection) return;
    connection.onBiStream = (stream) => this.#options.onStream(uid, stream);
    connection.onDatagrams = ({ length }) => this.#options.onUnclaimed(length);
    connection.accept();
  }

  /** Closes the inner connection, then its path: the last packet still goes out over it. */
  close(uid: SessionUid, error: WireError): void {
    const session = this.#byUid.get(uid);
    if (!session) return;
    this.#byUid.delete(uid);
    const { connection, path } = session;
    const forget = () => {
      this.#byPath.delete(path.id);
      path.close();
    };
    if (!connection) return forget();
    closeWith(connection, error);
    void connection.closed.then(forget);
  }

  #onClosed(session: InnerSession, info: CloseInfo): void {
    if (this.#byUid.get(session.uid) !== session) return;
    const code = closeCode(info);
    const lost = { session: session.uid, reason: closeReason(info), ...(code && { code }) };
    this.#options.input({ type: 'inner-lost', ...lost });
  }
}
