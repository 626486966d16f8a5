import { createCipheriv, createHash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';

/** Size of the pieces, bytes. */
const pieceBytes = 64 * 1024;
const zeros = Buffer.alloc(pieceBytes);

/** Largest number of bytes that is given out: 16 GiB. */
export const maxBytes = 16 * 2 ** 30;

/**
 * The first `length` bytes of the endless sequence that `seed` names: AES-128-CTR over zeros, with the first
 * 16 bytes of SHA-256(seed) as key and a zero counter. The same on every machine.
 */
export function* pseudoRandom(length: number, seed: string): Generator<Buffer, void, void> {
  const key = createHash('sha256').update(seed).digest().subarray(0, 16);
  const cipher = createCipheriv('aes-128-ctr', key, Buffer.alloc(16));
  for (let left = length; left > 0; left -= pieceBytes) {
    yield cipher.update(left < pieceBytes ? zeros.subarray(0, left) : zeros);
  }
}

/** SHA-256 of `pseudoRandom(length, seed)`, hex. Lets other work go on meanwhile; `signal` ends it early. */
export async function pseudoRandomSha256(length: number, seed: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  let pieces = 0;
  for (const piece of pseudoRandom(length, seed)) {
    hash.update(piece);
    if (++pieces % 32 === 0) await setImmediate(undefined, { signal });
  }
  return hash.digest('hex');
}
