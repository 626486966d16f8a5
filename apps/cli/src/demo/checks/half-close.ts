import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import { type Check, hold } from './check.ts';

const before = 64 * 1024;
const after = 256 * 1024;

/**
 * Sends, ends its own direction while the answer is held back, and only then reads on: all of it must come, and
 * then the end of the other direction, which the backend sends only when it has seen ours.
 */
export const tcpHalfClose: Check = {
  name: 'tcp-half-close',
  title: 'TCP half-close',
  timeoutMs: 30_000,
  async run({ tcp, signal }) {
    const socket = connect({ ...tcp, allowHalfOpen: true, noDelay: true });
    const destroy = () => socket.destroy(new Error('given up'));
    signal.addEventListener('abort', destroy);
    try {
      await once(socket, 'connect');
      const sent = randomBytes(before + after);
      socket.write(sent.subarray(0, before));
      const received = await read(socket, before);
      socket.end(sent.subarray(before));
      await once(socket, 'finish');
      for await (const piece of socket as AsyncIterable<Buffer>) received.push(piece);
      const back = Buffer.concat(received);
      hold(back.length === sent.length, `${back.length} of ${sent.length} bytes came back before the end`);
      hold(back.equals(sent), 'the bytes came back changed');
      const detail = `${after / 1024} KiB and the end arrived after our own end was sent`;
      return { detail, bytes: sent.length };
    } finally {
      signal.removeEventListener('abort', destroy);
      socket.destroy();
    }
  },
};

/** Reads `length` bytes and stops reading. */
async function read(socket: ReturnType<typeof connect>, length: number): Promise<Buffer[]> {
  const pieces: Buffer[] = [];
  for (let got = 0; got < length; ) {
    const piece = socket.read() as Buffer | null;
    if (piece === null) {
      hold(!socket.readableEnded && !socket.destroyed, `ended after ${got} bytes`);
      await once(socket, 'readable');
      continue;
    }
    pieces.push(piece);
    got += piece.length;
  }
  return pieces;
}
