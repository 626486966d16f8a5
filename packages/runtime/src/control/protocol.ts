// The control socket of a component, for programs of the same user on the same machine. One connection, one question:
//
//   ->  {"v":1,"request":"status"}\n
//   <-  {"v":1,"ok":true,"result":{...}}\n   or   {"v":1,"ok":false,"error":{"code":"...","message":"..."}}\n

/** Version of the envelope; what a result looks like is for who gives it. */
export const CONTROL_VERSION = 1;
export const CONTROL_LIMITS = {
  /** Longest question, bytes. */
  requestBytes: 4096,
  /** Longest answer, bytes. */
  responseBytes: 1 << 20,
  /** From the connection to the whole question, ms. */
  requestMs: 2000,
  /** For making the answer, ms. */
  handlerMs: 5000,
  /** For the other side to take the answer, ms. */
  responseMs: 5000,
  /** Connections at a time; more are closed at once. */
  connections: 16,
} as const;

/** Why a question is not answered. Stable. */
export type ControlErrorCode =
  | 'malformed'
  | 'too-long'
  | 'unsupported-version'
  | 'unknown-request'
  | 'timeout'
  | 'internal';

export interface ControlFailure {
  readonly code: ControlErrorCode;
  readonly message: string;
}
export type ControlResponse =
  | { readonly v: number; readonly ok: true; readonly result: unknown }
  | { readonly v: number; readonly ok: false; readonly error: ControlFailure };

/** The name of what is asked for, from one line; a failure for anything else. */
export function readRequest(line: string): { readonly request: string } | ControlFailure {
  const value = parseObject(line);
  if (!value) return { code: 'malformed', message: 'a request is one line with a JSON object' };
  if (value.v !== CONTROL_VERSION) {
    return { code: 'unsupported-version', message: `this process speaks version ${CONTROL_VERSION}` };
  }
  if (typeof value.request !== 'string') return { code: 'malformed', message: 'request must be a name' };
  return { request: value.request };
}

/** An answer from one line; undefined when it is none of this version. */
export function readResponse(line: string): ControlResponse | undefined {
  const value = parseObject(line);
  if (value?.v !== CONTROL_VERSION) return undefined;
  if (value.ok === true && 'result' in value) return { v: CONTROL_VERSION, ok: true, result: value.result };
  const { code, message } = (value.error ?? {}) as { code?: unknown; message?: unknown };
  if (value.ok !== false || typeof code !== 'string' || typeof message !== 'string') return undefined;
  return { v: CONTROL_VERSION, ok: false, error: { code: code as ControlErrorCode, message } };
}

function parseObject(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
