import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import type { Address } from '@ztna/runtime';
import { type Listening, listen } from './listen.ts';

const idleTimeoutMs = 600_000;

/** Sends back what comes in. The end of the input is passed on once all was sent; a reset ends both sides. */
export async function serveTcpEcho(address: Address, option: string): Promise<Listening> {
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    open.add(socket);
    socket.setTimeout(idleTimeoutMs, () => socket.destroy());
    socket.on('error', () => socket.destroy());
    socket.on('close', () => open.delete(socket));
    socket.pipe(socket);
  });
  server.maxConnections = 16_384;
  const at = await listen(server, address, option);
  return {
    address: at,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
}
