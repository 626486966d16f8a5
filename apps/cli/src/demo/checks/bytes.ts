import { createCipheriv, randomBytes } from 'node:crypto';

const pieceBytes = 64 * 1024;

/** `length` bytes that never repeat, in pieces, each shown to `see` first. */
export function* pseudoRandomPieces(length: number, see: (piece: Buffer) => void): Generator<Buffer> {
  const cipher = createCipheriv('aes-128-ctr', randomBytes(16), randomBytes(16));
  for (let left = length; left > 0; left -= pieceBytes) {
    const piece = cipher.update(Buffer.alloc(Math.min(left, pieceBytes)));
    see(piece);
    yield piece;
  }
}
