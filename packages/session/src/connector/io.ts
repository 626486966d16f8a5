import type {
  RelayId,
  ServiceName,
  SessionUid,
  SpiffeId,
  SubjectName,
  Target,
  TransportProtocol,
  WireError,
  WireErrorCode,
} from '@ztna/wire';
import { type BackoffConfig, DEFAULT_BACKOFF } from '../backoff.ts';
import type { VerifyGrant } from '../grant.ts';
import type { LocalInfo } from '../hello.ts';
import type { LinkInput, LinkOutput } from '../link-io.ts';
import type { PathPolicyOutput } from '../paths/io.ts';

import type { ConnectorSnapshot } from '../snapshot.ts';
import type { ConnectionKey, CountOutput, EventOutput, FlowKey, PeerIdentity } from '../types.ts';

export type ConnectorInput =
  | LinkInput
  | { readonly type: 'snapshot'; readonly snapshot: ConnectorSnapshot }
  /** Services that health checks have withdrawn; they are not registered until removed from the list. */
  | { readonly type: 'withdrawn'; readonly services: ReadonlySet<ServiceName> }
  /** An inner handshake completed on the virtual path of `session`; answered by `accept-inner` or `close-inner`. */
  | { readonly type: 'inner-connected'; readonly session: SessionUid; readonly identity: PeerIdentity }
  /** The inner connection ended: `code` when a side closed it with one. */
  | {
      readonly type: 'inner-lost';
      readonly session: SessionUid;
      readonly reason: string;
      readonly code?: WireErrorCode;
    }
  /** Whether the session uses a direct path now; not until told. */
  | { readonly type: 'direct'; readonly session: SessionUid; readonly inUse: boolean }
  /** FlowOpen was read from a new stream of the session's inner connection. */
  | ({ readonly type: 'flow-opened'; readonly session: SessionUid; readonly flow: FlowKey } & FlowRequest)
  | { readonly type: 'dial-succeeded'; readonly flow: FlowKey }
  | {
      readonly type: 'dial-failed';
      readonly flow: FlowKey;
      readonly code: DialFailure;
      readonly reason: string;
    }
  /** The flow ended (also after `cut-flow`). Bytes from agent to backend and back. */
  | {
      readonly type: 'flow-closed';
      readonly flow: FlowKey;
      readonly sent: number;
      readonly received: number;
      readonly reason: string;
    }
  | { readonly type: 'stop'; readonly reason: string };

export interface FlowRequest {
  readonly service: ServiceName;
  readonly transport: TransportProtocol;
  /** 0 means the service's only port for this transport. */
  readonly port: number;
  readonly subject: SubjectName;
  /** Lower-case hex, empty when absent. */
  readonly traceId: string;
}

export type DialFailure = Extract<WireErrorCode, `backend-${string}` | 'internal'>;

export type ConnectorOutput =
  | LinkOutput
  /** Expect an inner connection on a virtual path with this relay id of this outer connection. */
  | {
      readonly type: 'add-path';
      readonly session: SessionUid;
      readonly connection: ConnectionKey;
      readonly relayId: RelayId;
    }
  /** Move the virtual path of the session; inner connections do not notice. */
  | {
      readonly type: 'rebind-path';
      readonly session: SessionUid;
      readonly connection: ConnectionKey;
      readonly relayId: RelayId;
    }
  | { readonly type: 'accept-inner'; readonly session: SessionUid }
  /** Close the inner connection, its flows and the virtual path. The core has forgotten the session already. */
  | { readonly type: 'close-inner'; readonly session: SessionUid; readonly error: WireError }
  | PathPolicyOutput
  | { readonly type: 'dial'; readonly flow: FlowKey; readonly session: SessionUid; readonly target: Target }
  /** Send a FlowResult without error and join the stream to the backend. */
  | { readonly type: 'answer-flow'; readonly flow: FlowKey }
  /** Send a FlowResult with this error and end the stream; abandon the dial if there is one. */
  | { readonly type: 'refuse-flow'; readonly flow: FlowKey; readonly error: WireError }
  /** Reset the stream and the backend's connection; answer with `flow-closed`. */
  | { readonly type: 'cut-flow'; readonly flow: FlowKey; readonly error: WireError }
  | ({ readonly type: 'record' } & FlowRecord)
  | EventOutput
  | CountOutput;

/** One line of the flow log: every FlowOpen leaves exactly one. */
export interface FlowRecord {
  readonly session: SessionUid;
  readonly flow: FlowKey;
  readonly agent: SpiffeId;
  readonly subject: SubjectName;
  readonly service: ServiceName;
  readonly transport: TransportProtocol;
  readonly port: number;
  readonly traceId: string;
  readonly openedAtMs: number;
  readonly closedAtMs: number;
  readonly sent: number;
  readonly received: number;
  readonly verdict: 'allowed' | 'refused' | 'cut';
  /** Error name of a refusal or cut, else what the shell said of the end. */
  readonly reason: string;
}

export interface ConnectorDeps {
  readonly identity: PeerIdentity;
  readonly local: LocalInfo;
  readonly random: () => number;
  readonly verifyGrant: VerifyGrant;
}

export interface ConnectorConfig {
  readonly backoff: BackoffConfig;
  readonly connectTimeoutMs: number;
  readonly capacity: number;
  readonly labels: ReadonlyMap<string, string>;
  readonly maxIntermediates: number;
  readonly maxSessions: number;
  /** Of these, for one agent: one must not take them from the others. */
  readonly maxSessionsPerAgent: number;
  readonly maxFlowsPerSession: number;
  /** Over all sessions of one agent. */
  readonly maxFlowsPerAgent: number;
  readonly maxPendingDials: number;
  /** Of these, for one agent: one with an unreachable backend must not take them from the others. */
  readonly maxPendingDialsPerAgent: number;
  /** From the accepted offer to the inner handshake. */
  readonly innerTimeoutMs: number;
  /** A flow may overtake the GrantUpdate that allows it by this much. */
  readonly grantLagMs: number;
}

/** Time in which the shell must have read FlowOpen from a new stream, else it resets the stream. */
export const FLOW_HEADER_TIMEOUT_MS = 5_000;

export const DEFAULT_CONNECTOR_CONFIG: ConnectorConfig = {
  backoff: DEFAULT_BACKOFF,
  connectTimeoutMs: 10_000,
  capacity: 0,
  labels: new Map(),
  maxIntermediates: 8,
  maxSessions: 4_096,
  maxSessionsPerAgent: 64,
  maxFlowsPerSession: 4_096,
  maxFlowsPerAgent: 4_096,
  maxPendingDials: 1_024,
  maxPendingDialsPerAgent: 256,
  innerTimeoutMs: 10_000,
  grantLagMs: 1_000,
};
