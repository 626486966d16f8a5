import type { RelayId, Revision, ServiceName, SessionUid, SpiffeId, TenantName, WireError } from '@ztna/wire';

/**
 * Control messages of ztna/2 after parsing: ids are branded, session uids are hex, lists are bounded.
 * Field by field the same as `proto/ztna/v2/control.proto`; `control-codec.ts` translates.
 */
export type ControlMessage =
  | HelloMessage
  | {
      readonly type: 'register';
      readonly services: readonly ServiceName[];
      readonly capacity: number;
      readonly labels: Readonly<Record<string, string>>;
    }
  | {
      readonly type: 'registered';
      readonly services: readonly ServiceName[];
      readonly refused: readonly ServiceName[];
    }
  | {
      readonly type: 'open-session';
      readonly requestId: number;
      readonly service: ServiceName;
      readonly excludeConnectors: readonly SpiffeId[];
    }
  | SessionOffer
  | {
      readonly type: 'session-answer';
      readonly session: SessionUid;
      readonly relayId: RelayId;
      readonly error?: WireError;
    }
  | {
      readonly type: 'attach-path';
      readonly requestId: number;
      readonly session: SessionUid;
      readonly grant: SignedGrant;
    }
  | {
      readonly type: 'extend-grant';
      readonly requestId: number;
      readonly session: SessionUid;
      readonly services: readonly ServiceName[];
    }
  | {
      readonly type: 'grant-update';
      readonly requestId: number;
      readonly session: SessionUid;
      readonly grant: SignedGrant;
    }
  | { readonly type: 'close-session'; readonly session: SessionUid; readonly reason: WireError }
  | {
      readonly type: 'go-away';
      readonly deadlineMs: number;
      readonly alternatives: readonly string[];
      readonly reason: string;
    }
  | { readonly type: 'error'; readonly error: WireError }
  | { readonly type: 'goodbye'; readonly reason: string };

export interface HelloMessage {
  readonly type: 'hello';
  readonly versions: readonly number[];
  readonly features: readonly string[];
  readonly tenant: TenantName;
  readonly timeMs: number;
  /** Random per process start. */
  readonly instance: bigint;
  readonly software: string;
  readonly revision: Revision;
}

export interface SessionOffer {
  readonly type: 'session-offer';
  readonly requestId: number;
  readonly session: SessionUid;
  readonly relayId: RelayId;
  readonly peer: SpiffeId;
  readonly grant: SignedGrant;
  readonly attach: boolean;
}

/** Opaque to the cores: only the injected sign and verify functions look inside. */
export interface SignedGrant {
  readonly grant: Uint8Array;
  readonly signature: Uint8Array;
  readonly issuerChain: readonly Uint8Array[];
}
