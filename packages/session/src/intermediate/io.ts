import type { ComponentName, ControlMessage, RelayId, SessionUid, SpiffeId, WireError } from '@ztna/wire';
import type { SignGrant, VerifyGrant } from '../grant.ts';
import type { LocalInfo } from '../hello.ts';
import type { IntermediateSnapshot } from '../snapshot.ts';
import type { ConnectionKey, CountOutput, EventOutput, PeerIdentity } from '../types.ts';

export type IntermediateInput =
  /** The handshake of an outer connection completed and its certificate was verified. */
  | { readonly type: 'peer-connected'; readonly peer: ConnectionKey; readonly identity: PeerIdentity }
  | { readonly type: 'message'; readonly peer: ConnectionKey; readonly message: ControlMessage }
  /** A frame that did not decode. `fatal` unless it was merely of an unknown type. */
  | {
      readonly type: 'malformed';
      readonly peer: ConnectionKey;
      readonly reason: string;
      readonly fatal: boolean;
    }
  /** The outer connection ended, by whatever cause. Also after `close-peer`. */
  | { readonly type: 'peer-gone'; readonly peer: ConnectionKey; readonly reason: string }
  /** Its certificate was looked at again and is not acceptable any more. */
  | { readonly type: 'peer-refused'; readonly peer: ConnectionKey; readonly error: WireError }
  /** Replaces the snapshot in force; live sessions are judged anew. */
  | { readonly type: 'snapshot'; readonly snapshot: IntermediateSnapshot }
  /** Nothing new from now on; peers are told to go to `alternatives` (names) before the deadline. */
  | {
      readonly type: 'drain';
      readonly deadlineMs: number;
      readonly alternatives: readonly ComponentName[];
      readonly reason: string;
    };

export type IntermediateOutput =
  | { readonly type: 'send'; readonly peer: ConnectionKey; readonly message: ControlMessage }
  /** Send the error, then close the connection. The core has forgotten the peer already. */
  | { readonly type: 'close-peer'; readonly peer: ConnectionKey; readonly error: WireError }
  /** Datagrams of `from` with `fromRelayId` go to `to` with `toRelayId`. One rule per direction. */
  | ({ readonly type: 'install-rule' } & ForwardingRule)
  | ({ readonly type: 'remove-rule' } & ForwardingRule)
  | EventOutput
  | CountOutput;

/** Identified by `from` and `fromRelayId`. */
export interface ForwardingRule {
  readonly session: SessionUid;
  readonly from: ConnectionKey;
  readonly fromRelayId: RelayId;
  readonly to: ConnectionKey;
  readonly toRelayId: RelayId;
}

export interface IntermediateDeps {
  readonly id: SpiffeId;
  readonly local: LocalInfo;
  /** 16 unpredictable bytes as hex. */
  readonly randomSessionUid: () => SessionUid;
  readonly signGrant: SignGrant;
  readonly verifyGrant: VerifyGrant;
}

export interface IntermediateConfig {
  readonly grantValidityMs: number;
  /** Time for a connector's SessionAnswer. */
  readonly answerTimeoutMs: number;
  /** How long AttachPath waits for a connector that is not (yet) here. */
  readonly attachWaitMs: number;
  /** How long a session waits for its connector to come back before the agent is told. */
  readonly connectorGraceMs: number;
  readonly maxPeers: number;
  readonly maxConnectionsPerAgent: number;
  /** Connections of one identity that have not said Hello. */
  readonly maxSilentPerIdentity: number;
  readonly maxSessionsPerAgent: number;
  readonly maxPendingPerAgent: number;
  readonly maxServicesPerConnector: number;
  readonly maxServicesPerGrant: number;
  readonly messagesPerSecond: number;
  readonly messageBurst: number;
}

export const DEFAULT_INTERMEDIATE_CONFIG: IntermediateConfig = {
  grantValidityMs: 600_000,
  answerTimeoutMs: 5_000,
  attachWaitMs: 5_000,
  connectorGraceMs: 30_000,
  maxPeers: 10_000,
  maxConnectionsPerAgent: 8,
  maxSilentPerIdentity: 32,
  maxSessionsPerAgent: 64,
  maxPendingPerAgent: 16,
  maxServicesPerConnector: 1_024,
  maxServicesPerGrant: 256,
  messagesPerSecond: 50,
  messageBurst: 400,
};
