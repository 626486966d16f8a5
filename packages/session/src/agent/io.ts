import type {
  RelayId,
  ServiceName,
  SessionUid,
  SpiffeId,
  SubjectName,
  TransportProtocol,
  WireError,
  WireErrorCode,
} from '@ztna/wire';
import { type BackoffConfig, DEFAULT_BACKOFF } from '../backoff.ts';
import type { VerifyGrant } from '../grant.ts';
import type { LocalInfo } from '../hello.ts';
import type { LinkInput, LinkOutput } from '../link-io.ts';
import type { PathPolicyOutput } from '../paths/io.ts';

import type { AgentSnapshot } from '../snapshot.ts';
import type { ConnectionKey, CountOutput, EventOutput, FlowKey, PeerIdentity } from '../types.ts';

export type AgentInput =
  | LinkInput
  | { readonly type: 'snapshot'; readonly snapshot: AgentSnapshot }
  /** The inner handshake completed; the core answers with `accept-inner` or `close-inner`. */
  | { readonly type: 'inner-connected'; readonly session: SessionUid; readonly identity: PeerIdentity }
  /** The inner connection failed to open or ended (idle timeout, reset, close): `code` when a side closed it with one. */
  | {
      readonly type: 'inner-lost';
      readonly session: SessionUid;
      readonly reason: string;
      readonly code?: WireErrorCode;
    }
  /** Whether the session uses a direct path now; not until told. */
  | { readonly type: 'direct'; readonly session: SessionUid; readonly inUse: boolean }
  | {
      readonly type: 'flow-requested';
      readonly flow: FlowKey;
      readonly service: ServiceName;
      readonly transport: TransportProtocol;
      readonly port: number;
    }
  /** The flow ended, or the application went away before it was answered. */
  | { readonly type: 'flow-closed'; readonly flow: FlowKey }
  /** Say goodbye and close everything; nothing is accepted afterwards. */
  | { readonly type: 'stop'; readonly reason: string };

export type AgentOutput =
  | LinkOutput
  /** Make a virtual path over the outer connection and open the inner connection on it. */
  | {
      readonly type: 'open-inner';
      readonly session: SessionUid;
      readonly connection: ConnectionKey;
      readonly relayId: RelayId;
      readonly peer: SpiffeId;
    }
  /** The inner peer is the right one: accept the connection, flows may start. */
  | { readonly type: 'accept-inner'; readonly session: SessionUid }
  /** Close the inner connection and its virtual path. The core has forgotten the session already. */
  | { readonly type: 'close-inner'; readonly session: SessionUid; readonly error: WireError }
  /** Move the virtual path to this relay id of this outer connection, then ping. */
  | {
      readonly type: 'rebind-path';
      readonly session: SessionUid;
      readonly connection: ConnectionKey;
      readonly relayId: RelayId;
    }
  | PathPolicyOutput
  /** Open a stream of the session's inner connection and send FlowOpen with these fields. */
  | {
      readonly type: 'flow-ready';
      readonly flow: FlowKey;
      readonly session: SessionUid;
      readonly service: ServiceName;
      readonly transport: TransportProtocol;
      readonly port: number;
      readonly subject: SubjectName;
    }
  /** Tell the application; `error.message` says what to do. */
  | { readonly type: 'flow-failed'; readonly flow: FlowKey; readonly error: WireError }
  /** End a flow that was ready: nothing more of it is sent. `flow-closed` follows. */
  | { readonly type: 'cut-flow'; readonly flow: FlowKey; readonly error: WireError }
  | EventOutput
  | CountOutput;

export interface AgentDeps {
  readonly identity: PeerIdentity;
  readonly local: LocalInfo;
  /** Uniform in [0, 1); for jitter only. */
  readonly random: () => number;
  readonly verifyGrant: VerifyGrant;
}

export interface AgentConfig {
  readonly backoff: BackoffConfig;
  readonly connectTimeoutMs: number;
  readonly maxQueuedFlows: number;
  readonly flowTimeoutMs: number;
  /** Time for an answer of the intermediate to a request. */
  readonly requestTimeoutMs: number;
  /** Time for the inner handshake. */
  readonly innerTimeoutMs: number;
  /** A session without flows is closed after this. */
  readonly idleSessionMs: number;
  /** A connector that just failed is excluded for this long while others may serve. */
  readonly avoidConnectorMs: number;
}

export const DEFAULT_AGENT_CONFIG: AgentConfig = {
  backoff: DEFAULT_BACKOFF,
  connectTimeoutMs: 10_000,
  maxQueuedFlows: 1_024,
  flowTimeoutMs: 10_000,
  requestTimeoutMs: 12_000,
  innerTimeoutMs: 10_000,
  idleSessionMs: 300_000,
  avoidConnectorMs: 10_000,
};
