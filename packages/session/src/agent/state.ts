import type {
  DirectPaths,
  Grant,
  RelayId,
  ServiceName,
  SessionUid,
  SignedGrant,
  SpiffeId,
  TransportProtocol,
  WireError,
} from '@ztna/wire';
import type { OuterLink } from '../link.ts';
import { Outbox } from '../outbox.ts';
import type { AgentSnapshot } from '../snapshot.ts';
import { Timers } from '../timers.ts';
import type { ConnectionKey, EventOutput, FlowKey } from '../types.ts';
import type { AgentConfig, AgentDeps, AgentOutput } from './io.ts';

/** A session as the agent sees it: offered, then connecting, then up, at times without a path. */
export interface AgentSession {
  readonly uid: SessionUid;
  readonly connector: SpiffeId;
  grant: Grant;
  signed: SignedGrant;
  up: boolean;
  /** Where its datagrams go; undefined from the loss of the outer connection until it is attached again. */
  path: { readonly connection: ConnectionKey; readonly relayId: RelayId } | undefined;
  /** It uses a direct path: flows may run without the relay, and those that require one. */
  direct: boolean;
  /** What the shell was told last. */
  policy: DirectPaths | undefined;
  /** An attachment failed: do not count on this session for new flows. */
  doubtful: boolean;
  /** Why the last attachment failed; undefined once one did not. */
  attachError: WireError | undefined;
  readonly flows: Map<FlowKey, ServiceName>;
  /** Services that its connector was found not to serve, and until when to believe that. */
  readonly notServed: Map<ServiceName, number>;
}

export interface QueuedFlow {
  readonly flow: FlowKey;
  readonly service: ServiceName;
  readonly transport: TransportProtocol;
  readonly port: number;
}

/** Flows that wait for a session to their service. Exists while there are any. */
export interface Demand {
  readonly flows: Map<FlowKey, QueuedFlow>;
  attempts: number;
  /** No new request before this time. */
  retryAt: number;
  lastError: WireError | undefined;
}

/** A request to the intermediate that is not answered yet; lost with its connection. */
export type AgentRequest =
  | { readonly type: 'open'; readonly service: ServiceName }
  | { readonly type: 'attach'; readonly uid: SessionUid }
  | { readonly type: 'extend'; readonly uid: SessionUid; readonly service: ServiceName | undefined };

export type AgentTimer =
  | { readonly type: 'link' }
  | { readonly type: 'request'; readonly id: number }
  | { readonly type: 'flow'; readonly flow: FlowKey; readonly service: ServiceName }
  | { readonly type: 'retry'; readonly service: ServiceName }
  | { readonly type: 'inner' | 'attach' | 'renew' | 'expiry' | 'idle'; readonly uid: SessionUid };

/** Everything that the agent's core knows. */
export class AgentState {
  readonly deps: AgentDeps;
  readonly config: AgentConfig;
  readonly sessions = new Map<SessionUid, AgentSession>();
  readonly sessionOfFlow = new Map<FlowKey, SessionUid>();
  readonly demands = new Map<ServiceName, Demand>();
  readonly requests = new Map<number, AgentRequest>();
  /** Connectors that just failed, and until when others are preferred. */
  readonly avoided = new Map<SpiffeId, number>();
  readonly timers = new Timers<AgentTimer>();
  readonly outbox = new Outbox<AgentOutput>();
  snapshot: AgentSnapshot | undefined;
  link!: OuterLink;
  stopped = false;
  #lastRequest = 0;

  constructor(deps: AgentDeps, config: AgentConfig) {
    this.deps = deps;
    this.config = config;
  }

  get queuedFlows(): number {
    let count = 0;
    for (const demand of this.demands.values()) count += demand.flows.size;
    return count;
  }

  /** Books a request with its timeout; the caller sends it with this id. */
  request(request: AgentRequest, now: number): number {
    const id = ++this.#lastRequest;
    this.requests.set(id, request);
    this.timers.set(`request:${id}`, now + this.config.requestTimeoutMs, { type: 'request', id });
    return id;
  }

  /** Takes a request out of the books: it was answered, or is given up. */
  settle(id: number): AgentRequest | undefined {
    const request = this.requests.get(id);
    this.requests.delete(id);
    this.timers.cancel(`request:${id}`);
    return request;
  }

  count(metric: string, cause: string): void {
    this.outbox.push({ type: 'count', metric, cause });
  }

  event(level: EventOutput['level'], event: string, fields: EventOutput['fields']): void {
    this.outbox.push({ type: 'event', level, event, fields });
  }
}
