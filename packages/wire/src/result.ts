/** The outcome of anything that may fail on what came from outside. Throwing is for bugs. */
export type Result<T, E = DecodeError> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: E };

/** What is wrong with bytes or text from outside. Stable; shared with the vectors and the Rust decoders. */
export type DecodeErrorKind =
  /** The bytes end before the field does. */
  | 'truncated'
  /** The first byte names another frame. */
  | 'frame-type'
  /** A variable-length integer takes more bytes than it needs. */
  | 'non-minimal'
  /** A number outside its range. */
  | 'out-of-range'
  /** Not protobuf of this message: broken tag, wrong wire type, bad UTF-8, repeated singular field. */
  | 'malformed'
  /** A field that must be there is not. */
  | 'missing'
  /** A field whose size or grammar is wrong. */
  | 'invalid'
  /** A message, list or string over its limit. */
  | 'too-large'
  /** A field that this version does not know, where ignoring it would be dangerous. */
  | 'unknown-field'
  /** A required feature that this version does not know. */
  | 'unknown-feature';

/** A plain value, not an Error: hostile input must not cost a stack trace. `toZtnaError` makes one for logs. */
export interface DecodeError {
  readonly kind: DecodeErrorKind;
  /** Where: a path such as `session_offer.grant.signature`. */
  readonly field: string;
  /** For people; never contains bytes of the input beyond short printable excerpts. */
  readonly detail: string;
}

export function ok<T>(value: T): { readonly ok: true; readonly value: T } {
  return { ok: true, value };
}

export function err<E>(error: E): { readonly ok: false; readonly error: E } {
  return { ok: false, error };
}

/** A failed result with a DecodeError. */
export function fail(
  kind: DecodeErrorKind,
  field: string,
  detail: string,
): { readonly ok: false; readonly error: DecodeError } {
  return { ok: false, error: { kind, field, detail } };
}
