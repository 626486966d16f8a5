import { type PeerRefusal, refusalError } from '@ztna/identity';
import {
  closeCode,
  closeReason,
  closeRefused,
  closeWith,
  type DirectPaths,
  instant,
  type PathStatus,
  refusedCode,
  rounded,
  type SessionStatus,
  ticketName,
} from '@ztna/link';
import type { Connection, Endpoint, TransportOptions, VirtualPath } from '@ztna/quic';
import type { AgentInput, AgentOutput, PathPolicy, PathVerdict, PeerIdentity } from '@ztna/session';
import {
  ALPN,
  type RelayId,
  type Result,
  relayPrefix,
  type SessionUid,
  type SpiffeId,
  type WireError,
  type WireErrorCode,
} from '@ztna/wire';

type OpenInner = Extract<AgentOutput, { type: 'open-inner' }>;

interface InnerSession {
  readonly uid: SessionUid;
  readonly peer: SpiffeId;
  readonly path: VirtualPath;
  /** Outer connection under the path. */
  carrier: Connection;
  readonly connecting: AbortController;
  connection: Connection | undefined;
  up: boolean;
}

export interface InnerDeps {
  readonly endpoint: Endpoint;
  readonly transport: TransportOptions;
  /** Who the peer is by its chain, judged now. */
  readonly identify: (chain: readonly Uint8Array[]) => Result<PeerIdentity, PeerRefusal>;
  readonly input: (input: AgentInput) => void;
  readonly direct: DirectPaths;
}

/** The inner connections of the sessions: carries out what the core wants of them, and tells it what became of it. */
export class InnerSessions {
  readonly #deps: InnerDeps;
  readonly #sessions = new Map<SessionUid, InnerSession>();

  constructor(deps: InnerDeps) {
    this.#deps = deps;
  }

  /** Opens the inner connection over the carrier; `inner-connected` or `inner-lost` follows. */
  open({ session: uid, relayId, peer }: OpenInner, carrier: Connection): void {
    const prefix = relayPrefix(relayId);
    const path = this.#deps.endpoint.addVirtualPath({ carrier, send: prefix, receive: prefix });
    const session: InnerSession = {
      ...{ uid, peer, path, carrier, connecting: new AbortController() },
      ...{ connection: undefined, up: false },
    };
    this.#sessions.set(uid, session);
    const { endpoint, transport } = this.#deps;
    const { signal } = session.connecting;
    const serverName = ticketName(peer);
    endpoint.connect({ remote: path.address, serverName, alpn: [ALPN.SESSION], transport, signal }).then(
      (connection) => this.#onConnected(session, connection),
      (error: Error) => this.#onLost(session, error.message),
    );
  }

  accept(uid: SessionUid): void {
    const session = this.#sessions.get(uid);
    if (!session?.connection) return;
    session.up = true;
    session.connection.accept();
  }

  /** Closes the connection and its path; streams and UDP flows on it end. */
  close(uid: SessionUid, error: WireError): void {
    const session = this.#sessions.get(uid);
    if (!session) return;
    this.#sessions.delete(uid);
    session.connecting.abort();
    if (session.connection) closeWith(session.connection, error);
    // The path stays until the farewell has gone over it.
    const closed = session.connection?.closed ?? Promise.resolve();
    void closed.then(() => session.path.close());
  }

  rebind(uid: SessionUid, carrier: Connection, relayId: RelayId): void {
    const session = this.#sessions.get(uid);
    if (!session) return;
    const prefix = relayPrefix(relayId);
    session.path.rebind({ carrier, send: prefix, receive: prefix });
    session.carrier = carrier;
    session.connection?.ping();
    this.#deps.direct.setCarrier(uid, carrier);
  }

  /** What the own snapshot says of the session's paths. */
  setPathPolicy(uid: SessionUid, policy: PathPolicy): void {
    const session = this.#sessions.get(uid);
    if (!session?.connection) return;
    this.#deps.direct.setPolicy(uid, policy, session.connection, session.carrier);
  }

  /** The inner connection of a session that is up. */
  connection(uid: SessionUid): Connection | undefined {
    const session = this.#sessions.get(uid);
    return session?.up ? session.connection : undefined;
  }

  /** Judges every peer again: trust or revocations have changed. */
  review(): void {
    for (const session of [...this.#sessions.values()]) {
      const judged = session.connection && this.#deps.identify(session.connection.peerChain);
      if (judged === undefined || judged.ok) continue;
      this.#refuse(session, judged.error);
    }
  }

  status(): SessionStatus[] {
    return [...this.#sessions.values()].map(({ uid, peer, up }) => {
      const verdict = this.#deps.direct.verdict(uid);
      const state = up ? 'up' : 'connecting';
      return { session: uid, connector: peer, state, ...(verdict && { path: asStatus(verdict) }) };
    });
  }

  #onConnected(session: InnerSession, connection: Connection): void {
    if (this.#sessions.get(session.uid) !== session) return connection.close();
    session.connection = connection;
    void connection.closed.then((info) => this.#onLost(session, closeReason(info), closeCode(info)));
    const judged = this.#deps.identify(connection.peerChain);
    if (judged.ok) {
      return this.#deps.input({ type: 'inner-connected', session: session.uid, identity: judged.value });
    }
    this.#refuse(session, judged.error);
  }

  #refuse(session: InnerSession, refusal: PeerRefusal): void {
    if (session.connection) closeRefused(session.connection, refusal);
    this.#onLost(session, refusalError(refusal).message, refusedCode(refusal));
  }

  #onLost(session: InnerSession, reason: string, code?: WireErrorCode): void {
    if (this.#sessions.get(session.uid) !== session) return;
    // The core answers with `close-inner`, which cleans up.
    this.#deps.input({ type: 'inner-lost', session: session.uid, reason, ...(code && { code }) });
  }
}

/** To the hundredth of a millisecond, and of a percent. */
export function asStatus({ since, remedy, rttMs, loss, ...verdict }: PathVerdict): PathStatus {
  return {
    ...{ ...verdict, since: instant(since), ...(remedy && { remedy }) },
    ...(rttMs !== undefined && { rttMs: rounded(rttMs, 2) }),
    ...(loss !== undefined && { loss: rounded(loss, 4) }),
  };
}
