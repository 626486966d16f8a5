import { toBinary } from '@bufbuild/protobuf';
import { readControlMessage } from './control-read.ts';
import { writeControlMessage } from './control-write.ts';
import type { WireError } from './errors.ts';
import { ControlMessageSchema } from './gen/ztna/v2/control_pb.ts';
import type { SignedGrant } from './grant.ts';
import type {
  ComponentName,
  RelayId,
  Revision,
  ServiceName,
  SessionUid,
  SpiffeId,
  TenantName,
} from './ids.ts';
import { decodeMessage, unknownFields } from './protobuf.ts';
import { LIMITS } from './registry.ts';
import { fail, ok, type Result } from './result.ts';

/** First message in both directions. The peer's identity comes from its certificate, never from here. */
export interface Hello {
  readonly type: 'hello';
  /** In order of preference; never empty. */
  readonly versions: readonly number[];
  readonly features: readonly string[];
  readonly tenant: TenantName;
  /** Milliseconds since the Unix epoch at the sender; 0 when unknown. */
  readonly timeMs: number;
  /** Random per process start, 64 bits. */
  readonly instance: bigint;
  readonly software: string;
  /** Snapshot in force at the sender; 0 when none. */
  readonly revision: Revision;
}

/** Connector → intermediate: what it serves now, in place of the previous Register. */
export interface Register {
  readonly type: 'register';
  readonly services: readonly ServiceName[];
  /** Sessions it is willing to hold; 0 = no statement. */
  readonly capacity: number;
  readonly labels: ReadonlyMap<string, string>;
}

/** Intermediate → connector: the answer to Register. */
export interface Registered {
  readonly type: 'registered';
  readonly services: readonly ServiceName[];
  readonly refused: readonly ServiceName[];
}

/** Agent → intermediate. */
export interface OpenSession {
  readonly type: 'openSession';
  /** At least 1, unique on this control stream. */
  readonly requestId: number;
  readonly service: ServiceName;
  readonly excludeConnectors: readonly SpiffeId[];
}

/** Intermediate → both sides: datagrams with relayId belong to this session. */
export interface SessionOffer {
  readonly type: 'sessionOffer';
  /** The request answered; 0 towards a connector. */
  readonly requestId: number;
  readonly sessionUid: SessionUid;
  readonly relayId: RelayId;
  /** The other side. */
  readonly peer: SpiffeId;
  readonly grant: SignedGrant;
  /** A further path of a session that exists. */
  readonly attach: boolean;
}

/** Connector → intermediate: accepted when there is no error. */
export interface SessionAnswer {
  readonly type: 'sessionAnswer';
  readonly sessionUid: SessionUid;
  readonly relayId: RelayId;
  readonly error?: WireError;
}

/** Agent → intermediate: join an existing session through this intermediate. */
export interface AttachPath {
  readonly type: 'attachPath';
  readonly requestId: number;
  readonly sessionUid: SessionUid;
  readonly grant: SignedGrant;
}

/** Agent → intermediate: renew the grant, with further services if any. */
export interface ExtendGrant {
  readonly type: 'extendGrant';
  readonly requestId: number;
  readonly sessionUid: SessionUid;
  readonly services: readonly ServiceName[];
}

/** Intermediate → both sides: this grant replaces the one in force. */
export interface GrantUpdate {
  readonly type: 'grantUpdate';
  /** The request answered; 0 when there was none. */
  readonly requestId: number;
  readonly sessionUid: SessionUid;
  readonly grant: SignedGrant;
}

/** Any side: datagrams of the session are dropped from now on. */
export interface CloseSession {
  readonly type: 'closeSession';
  readonly sessionUid: SessionUid;
  readonly reason?: WireError;
}

/** Intermediate → peers: attach elsewhere before the deadline, in ms from now. */
export interface GoAway {
  readonly type: 'goAway';
  readonly deadlineMs: number;
  readonly alternatives: readonly ComponentName[];
  readonly reason: string;
}

export interface ErrorMessage {
  readonly type: 'error';
  readonly error: WireError;
}

/** Last message of an orderly close. */
export interface Goodbye {
  readonly type: 'goodbye';
  readonly reason: string;
}

/** A message of a later version: to be answered with the error `unknown-message`. Never encoded. */
export interface UnknownMessage {
  readonly type: 'unknown';
  /** Field numbers seen in place of a message. */
  readonly numbers: readonly number[];
}

export type ControlMessage =
  | Hello
  | Register
  | Registered
  | OpenSession
  | SessionOffer
  | SessionAnswer
  | AttachPath
  | ExtendGrant
  | GrantUpdate
  | CloseSession
  | GoAway
  | ErrorMessage
  | Goodbye;

/**
 * Decodes one message of a control stream (without its length). Unknown fields are ignored; a message that this
 * version does not know is `{type: 'unknown'}`. Who may send what, and when, is for the session cores.
 */
export function decodeControlMessage(bytes: Uint8Array): Result<ControlMessage | UnknownMessage> {
  const decoded = decodeMessage(ControlMessageSchema, bytes, LIMITS.controlMessage, 'ignore');
  if (!decoded.ok) return decoded;
  if (decoded.value.message.case !== undefined) return readControlMessage(decoded.value.message);
  const numbers = unknownFields(decoded.value);
  return numbers.length > 0
    ? ok({ type: 'unknown', numbers })
    : fail('missing', 'ControlMessage', 'holds no message');
}

/** The bytes of one message (without its length). Texts for people are cut to their limit. */
export function encodeControlMessage(message: ControlMessage): Uint8Array {
  const bytes = toBinary(ControlMessageSchema, writeControlMessage(message));
  if (bytes.length > LIMITS.controlMessage) {
    throw new RangeError(`${message.type} of ${bytes.length} bytes, the limit is ${LIMITS.controlMessage}`);
  }
  return bytes;
}
