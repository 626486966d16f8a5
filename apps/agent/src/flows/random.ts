import { randomFillSync } from 'node:crypto';

const SIZE = 16;
/** One call to the generator serves so many flows: each costs more than the bytes. */
const pool = Buffer.alloc(256 * SIZE);
let next = pool.length;

/** Bytes for a trace id: they tell flows apart and protect nothing. */
export function randomTraceBytes(): Uint8Array {
  if (next >= pool.length) {
    randomFillSync(pool);
    next = 0;
  }
  next += SIZE;
  return Uint8Array.from(pool.subarray(next - SIZE, next));
}
