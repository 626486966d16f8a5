import { randomBytes } from 'node:crypto';
import { formatAddress } from '@ztna/runtime';
import { type Check, hold } from './check.ts';

/** On both sides of each border between the three length encodings (RFC 6455 §5.2). */
const sizes = [0, 1, 125, 126, 65_535, 65_536, 1 << 20];

export const websocketEcho: Check = {
  name: 'websocket-echo',
  title: 'WebSocket echo',
  timeoutMs: 30_000,
  async run({ http, signal }) {
    const socket = new WebSocket(`ws://${formatAddress(http)}/ws`);
    socket.binaryType = 'arraybuffer';
    const close = () => socket.close();
    signal.addEventListener('abort', close);
    try {
      await next(socket, 'open');
      for (const size of sizes) {
        const message = randomBytes(size);
        const back = await ask(socket, message);
        hold(
          back instanceof ArrayBuffer && message.equals(Buffer.from(back)),
          `a message of ${size} bytes came back changed`,
        );
      }
      const text = 'Grüße — 你好 ✓';
      hold((await ask(socket, text)) === text, 'a text came back changed');
      const closed = next(socket, 'close') as Promise<CloseEvent>;
      socket.close(1000);
      const { code } = await closed;
      hold(code === 1000, `closed with code ${code} instead of 1000`);
    } finally {
      signal.removeEventListener('abort', close);
      socket.close();
    }
    const bytes = sizes.reduce((sum, size) => sum + size, 0);
    return { detail: `${sizes.length + 1} messages of up to 1 MiB, closed with 1000`, bytes };
  },
};

async function ask(socket: WebSocket, message: string | Buffer<ArrayBuffer>): Promise<unknown> {
  const answer = next(socket, 'message') as Promise<MessageEvent>;
  socket.send(message);
  return (await answer).data;
}

/** The next event of this kind; a close instead of another is an error. */
function next(socket: WebSocket, kind: 'open' | 'message' | 'close'): Promise<Event> {
  return new Promise((resolve, reject) => {
    socket.addEventListener(kind, resolve, { once: true });
    socket.addEventListener(
      'error',
      () => reject(new Error(`the WebSocket failed while waiting for ${kind}`)),
      {
        once: true,
      },
    );
    if (kind === 'close') return;
    socket.addEventListener(
      'close',
      ({ code }) => reject(new Error(`the WebSocket was closed with ${code}`)),
      {
        once: true,
      },
    );
  });
}
