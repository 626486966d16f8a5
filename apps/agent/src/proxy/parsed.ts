/** What a parser says of the bytes so far. It says the same of any longer input once it has decided. */
export type Parsed<T, E> =
  | { readonly type: 'need-more' }
  /** `size` bytes belong to the value; those behind it are the application's. */
  | { readonly type: 'done'; readonly value: T; readonly size: number }
  | { readonly type: 'error'; readonly error: E };

export const NEED_MORE = { type: 'need-more' } as const;

export function done<T>(value: T, size: number): Parsed<T, never> {
  return { type: 'done', value, size };
}

export function failed<E>(error: E): Parsed<never, E> {
  return { type: 'error', error };
}
