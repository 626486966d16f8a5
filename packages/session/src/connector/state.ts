import {
  type Grant,
  type RelayId,
  type ServiceName,
  type SessionUid,
  type SpiffeId,
  type Target,
  type WireError,
  type WireErrorCode,
  wireError,
} from '@ztna/wire';
import type { OuterLink } from '../link.ts';
import { Outbox } from '../outbox.ts';
import type { PathPolicy } from '../paths/io.ts';
import type { ConnectorSnapshot } from '../snapshot.ts';
import { Tally } from '../tally.ts';
import { Timers } from '../timers.ts';
import type { ConnectionKey, EventOutput, FlowKey } from '../types.ts';
import type { ConnectorConfig, ConnectorDeps, ConnectorOutput, FlowRequest } from './io.ts';
import { Places } from './places.ts';

/** A session that was accepted: its inner connection is expected, then up. */
export interface ConnectorSession {
  readonly uid: SessionUid;
  readonly agent: SpiffeId;
  /** SPIFFE id of the intermediate that offered it. */
  readonly offeredBy: string;
  grant: Grant;
  up: boolean;
  /** Undefined from the loss of the outer connection until the session is attached again. */
  path: { readonly connection: ConnectionKey; readonly relayId: RelayId } | undefined;
  /** It uses a direct path: flows that require one may run. */
  direct: boolean;
  /** What the shell was told last. */
  policy: PathPolicy | undefined;
  readonly flows: Set<FlowKey>;
}

export interface Flow {
  readonly key: FlowKey;
  readonly session: SessionUid;
  readonly agent: SpiffeId;
  readonly request: FlowRequest;
  readonly target: Target;
  readonly openedAtMs: number;
  /** `lagging`: waits for the GrantUpdate that it overtook; `cut`: waits for the shell's last figures. */
  state: 'lagging' | 'dialling' | 'open' | 'cut';
  cause: WireErrorCode | 'unrecognised' | undefined;
}

export type ConnectorTimer =
  | { readonly type: 'link'; readonly intermediate: string }
  | { readonly type: 'inner' | 'expiry'; readonly uid: SessionUid }
  | { readonly type: 'lag' | 'cut'; readonly flow: FlowKey };

/** Everything that the connector's core knows. */
export class ConnectorState {
  readonly deps: ConnectorDeps;
  readonly config: ConnectorConfig;
  /** By SPIFFE id of the intermediate. */
  readonly links = new Map<string, OuterLink>();
  readonly sessions = new Map<SessionUid, ConnectorSession>();
  readonly flows = new Map<FlowKey, Flow>();
  readonly timers = new Timers<ConnectorTimer>();
  readonly outbox = new Outbox<ConnectorOutput>();
  snapshot: ConnectorSnapshot | undefined;
  withdrawn: ReadonlySet<ServiceName> = new Set();
  readonly places: Places;
  /** Of each agent, so that none takes them from the others. */
  readonly flowsOf = new Tally<SpiffeId>();
  readonly dialsOf = new Tally<SpiffeId>();
  stopped = false;
  #lastConnection = 0;

  constructor(deps: ConnectorDeps, config: ConnectorConfig) {
    this.deps = deps;
    this.config = config;
    this.places = new Places(config.maxSessions, config.maxSessionsPerAgent);
  }

  nextConnection(): ConnectionKey {
    return ++this.#lastConnection as ConnectionKey;
  }

  isConnected(connection: ConnectionKey): boolean {
    return [...this.links.values()].some((link) => link.connection === connection);
  }

  linkOf(connection: ConnectionKey): OuterLink | undefined {
    return [...this.links.values()].find((link) => link.owns(connection));
  }

  count(metric: string, cause: string) {
    this.outbox.push({ type: 'count', metric, cause });
  }

  event(level: EventOutput['level'], event: string, fields: EventOutput['fields']) {
    this.outbox.push({ type: 'event', level, event, fields });
  }
}

export const EXPIRED: WireError = wireError('grant-expired', 'the grant ran out without being renewed');
