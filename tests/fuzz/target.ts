import type { Result } from '@ztna/wire';

/** Throws when a property does not hold for these bytes; typed results and typed faults are answers. */
export type Target = (bytes: Uint8Array) => void;

export function assert(holds: boolean, property: string): asserts holds {
  if (!holds) throw new Error(`does not hold: ${property}`);
}

/** A value or an error, never neither. */
export function typed<T, E>(result: Result<T, E>): Result<T, E> {
  assert(result.ok || (result.error !== undefined && result.error !== null), 'a typed result');
  return result;
}
