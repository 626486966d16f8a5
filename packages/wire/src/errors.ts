import { ErrorCode as ProtoErrorCode } from './gen/ztna/v2/control_pb.ts';
import type { DecodeError } from './result.ts';

/** Who must act: the other side, the policy's author, whoever configures this side, or we. */
export type Fault = 'peer' | 'policy' | 'config' | 'internal';

export interface ZtnaErrorInit {
  /** Stable, lower-case words joined by `-`; programs compare it. */
  readonly code: string;
  readonly fault: Fault;
  /** What happened, e.g. "the backend refused the connection". */
  readonly happened: string;
  /** To what, e.g. "service web, port 443". */
  readonly to?: string;
  /** What to do about it. */
  readonly remedy?: string;
  readonly cause?: unknown;
}

/** The base of all errors of this system that are thrown or shown. */
export class ZtnaError extends Error {
  override readonly name: string = 'ZtnaError';
  readonly code: string;
  readonly fault: Fault;
  readonly remedy: string | undefined;

  constructor(init: ZtnaErrorInit) {
    const what = init.to === undefined ? init.happened : `${init.happened} (${init.to})`;
    super(init.remedy === undefined ? what : `${what}: ${init.remedy}`, { cause: init.cause });
    this.code = init.code;
    this.fault = init.fault;
    this.remedy = init.remedy;
  }
}

/** For logs and people: a decode error as a ZtnaError of code `decode-<kind>`. */
export function toZtnaError(error: DecodeError, fault: Fault = 'peer'): ZtnaError {
  return new ZtnaError({
    code: `decode-${error.kind}`,
    fault,
    happened: error.detail,
    to: error.field,
    cause: error,
  });
}

/** Every error that a peer may name: number on the wire, who must act, whether the same request may succeed later. */
export const WIRE_ERRORS = {
  protocol: { number: ProtoErrorCode.PROTOCOL, fault: 'peer', retryable: false },
  'unsupported-version': { number: ProtoErrorCode.UNSUPPORTED_VERSION, fault: 'peer', retryable: false },
  'unknown-message': { number: ProtoErrorCode.UNKNOWN_MESSAGE, fault: 'peer', retryable: false },
  'wrong-tenant': { number: ProtoErrorCode.WRONG_TENANT, fault: 'policy', retryable: false },
  'not-authorized': { number: ProtoErrorCode.NOT_AUTHORIZED, fault: 'policy', retryable: false },
  'unknown-service': { number: ProtoErrorCode.UNKNOWN_SERVICE, fault: 'config', retryable: false },
  'no-connector': { number: ProtoErrorCode.NO_CONNECTOR, fault: 'peer', retryable: true },
  'unknown-session': { number: ProtoErrorCode.UNKNOWN_SESSION, fault: 'peer', retryable: false },
  limit: { number: ProtoErrorCode.LIMIT, fault: 'peer', retryable: true },
  'grant-expired': { number: ProtoErrorCode.GRANT_EXPIRED, fault: 'policy', retryable: false },
  'grant-invalid': { number: ProtoErrorCode.GRANT_INVALID, fault: 'peer', retryable: false },
  timeout: { number: ProtoErrorCode.TIMEOUT, fault: 'peer', retryable: true },
  'going-away': { number: ProtoErrorCode.GOING_AWAY, fault: 'peer', retryable: true },
  internal: { number: ProtoErrorCode.INTERNAL, fault: 'internal', retryable: true },
  revoked: { number: ProtoErrorCode.REVOKED, fault: 'policy', retryable: false },
  'stale-snapshot': { number: ProtoErrorCode.STALE_SNAPSHOT, fault: 'config', retryable: true },
  'backend-refused': { number: ProtoErrorCode.BACKEND_REFUSED, fault: 'peer', retryable: true },
  'backend-unreachable': { number: ProtoErrorCode.BACKEND_UNREACHABLE, fault: 'peer', retryable: true },
  'backend-timeout': { number: ProtoErrorCode.BACKEND_TIMEOUT, fault: 'peer', retryable: true },
  'backend-name': { number: ProtoErrorCode.BACKEND_NAME, fault: 'config', retryable: true },
  'backend-forbidden': { number: ProtoErrorCode.BACKEND_FORBIDDEN, fault: 'policy', retryable: false },
} as const satisfies Record<
  string,
  { readonly number: ProtoErrorCode; readonly fault: Fault; readonly retryable: boolean }
>;

export type WireErrorCode = keyof typeof WIRE_ERRORS;

const BY_NUMBER: ReadonlyMap<number, WireErrorCode> = new Map(
  (Object.keys(WIRE_ERRORS) as WireErrorCode[]).map((code) => [WIRE_ERRORS[code].number, code]),
);

/** The number of an error on the wire; also the QUIC application close and stream reset code (0 = no error). */
export function wireErrorNumber(code: WireErrorCode): number {
  return WIRE_ERRORS[code].number;
}

/** The stable code of a number on the wire; undefined for numbers of a later version. */
export function wireErrorCode(number: number): WireErrorCode | undefined {
  return BY_NUMBER.get(number);
}

/** An error as it travels in Error, SessionAnswer, CloseSession and FlowResult. */
export interface WireError {
  /** `unrecognised` when the peer sent a code that this version does not know. */
  readonly code: WireErrorCode | 'unrecognised';
  readonly message: string;
  readonly retryable: boolean;
  /** The request that failed; 0 when none. */
  readonly requestId: number;
}

/** A WireError with the registry's retryable flag. `message`: what happened, to what, what to do. */
export function wireError(code: WireErrorCode, message: string, requestId = 0): WireError {
  return { code, message, retryable: WIRE_ERRORS[code].retryable, requestId };
}

/** What a peer told us, as an error for people and logs: one line, which moves no cursor. */
export function fromWireError({ code, message }: WireError): ZtnaError {
  const fault = code === 'unrecognised' ? 'peer' : WIRE_ERRORS[code].fault;
  const happened = message.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '?') || code;
  return new ZtnaError({ code, fault, happened });
}
