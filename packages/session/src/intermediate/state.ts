import type {
  ControlMessage,
  Grant,
  Hello,
  RelayId,
  ServiceName,
  SessionUid,
  SignedGrant,
  SpiffeId,
  SubjectName,
  WireError,
} from '@ztna/wire';
import { Outbox } from '../outbox.ts';
import { Quotas } from '../quota.ts';
import type { RelayIds } from '../relay-ids.ts';
import type { IntermediateSnapshot } from '../snapshot.ts';
import { Timers } from '../timers.ts';
import type { ConnectionKey, EventOutput, PeerIdentity } from '../types.ts';
import type { IntermediateConfig, IntermediateDeps, IntermediateOutput } from './io.ts';

/** One outer connection. Before Hello nothing but Hello is listened to. */
export interface Peer {
  readonly key: ConnectionKey;
  readonly identity: PeerIdentity;
  readonly relayIds: RelayIds;
  /** Sessions with a side on this connection. */
  readonly sessions: Set<SessionUid>;
  /** Offers that this connection asked for (agent) or must answer (connector). */
  readonly offers: Set<SessionUid>;
  hello: Hello | undefined;
  /** What a connector says it serves; the snapshot is asked at each use. */
  claimed: ReadonlySet<ServiceName>;
  /** Sessions that a connector is willing to hold; 0 is no limit. */
  capacity: number;
}

export interface Side {
  readonly peer: ConnectionKey;
  readonly relayId: RelayId;
}

/**
 * A granted session. Forwarding is installed exactly while both sides are here. A side that is missing may
 * come back: the agent by AttachPath, the connector by a new connection of the same process.
 */
export interface Session {
  readonly uid: SessionUid;
  readonly agent: SpiffeId;
  readonly connector: SpiffeId;
  readonly subject: SubjectName;
  grant: Grant;
  signed: SignedGrant;
  agentSide: Side | undefined;
  connectorSide: Side | undefined;
}

/** A SessionOffer to a connector that is not answered yet, or (attach) waits for the connector to be here. */
export interface Offer {
  readonly uid: SessionUid;
  readonly kind: 'open' | 'attach' | 'reattach';
  /** Who asked; for `reattach` the session's agent side. */
  readonly agentPeer: ConnectionKey;
  readonly requestId: number;
  /** The service asked for; only for `open`. */
  readonly service: ServiceName | undefined;
  readonly exclude: ReadonlySet<SpiffeId>;
  readonly connector: SpiffeId;
  readonly grant: Grant;
  readonly signed: SignedGrant;
  /** Undefined while the connector is awaited. */
  side: Side | undefined;
}

export type IntermediateTimer =
  | { readonly type: 'hello'; readonly peer: ConnectionKey }
  | { readonly type: 'offer'; readonly uid: SessionUid }
  | { readonly type: 'grace'; readonly uid: SessionUid }
  | { readonly type: 'expiry'; readonly uid: SessionUid };

/** Everything that the intermediate knows. The functions of this folder work on it. */
export class IntermediateState {
  readonly deps: IntermediateDeps;
  readonly config: IntermediateConfig;
  readonly peers = new Map<ConnectionKey, Peer>();
  /** Connections after Hello, oldest first. A connector has one. */
  readonly byIdentity = new Map<SpiffeId, Set<ConnectionKey>>();
  readonly sessions = new Map<SessionUid, Session>();
  /** Connections before Hello. */
  readonly silent = new Map<SpiffeId, Set<ConnectionKey>>();
  /** Sessions by agent and by connector. */
  readonly sessionsOf = new Map<SpiffeId, Set<SessionUid>>();
  readonly offers = new Map<SessionUid, Offer>();
  /** Messages by identity: a connection that was cut off for too many comes back to an empty bucket. */
  readonly quotas: Quotas<SpiffeId>;
  readonly timers = new Timers<IntermediateTimer>();
  readonly outbox = new Outbox<IntermediateOutput>();
  snapshot: IntermediateSnapshot | undefined;
  draining = false;

  constructor(deps: IntermediateDeps, config: IntermediateConfig) {
    this.deps = deps;
    this.config = config;
    this.quotas = new Quotas(config.messagesPerSecond, config.messageBurst);
  }

  send(peer: ConnectionKey, message: ControlMessage) {
    this.outbox.push({ type: 'send', peer, message });
  }

  sendError(peer: ConnectionKey, error: WireError) {
    this.count('request_refused', error.code);
    this.send(peer, { type: 'error', error });
  }

  count(metric: string, cause: string) {
    this.outbox.push({ type: 'count', metric, cause });
  }

  event(level: EventOutput['level'], event: string, fields: EventOutput['fields']) {
    this.outbox.push({ type: 'event', level, event, fields });
  }

  /** The ready connection of a connector. */
  connectorPeer(id: SpiffeId): Peer | undefined {
    const [key] = this.byIdentity.get(id) ?? [];
    return key === undefined ? undefined : this.peers.get(key);
  }
}

export function addTo<K, V>(map: Map<K, Set<V>>, key: K, value: V) {
  const set = map.get(key);
  if (set) set.add(value);
  else map.set(key, new Set([value]));
}

export function removeFrom<K, V>(map: Map<K, Set<V>>, key: K, value: V) {
  const set = map.get(key);
  if (set?.delete(value) && set.size === 0) map.delete(key);
}
