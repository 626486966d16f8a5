import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { expect } from 'vitest';

/** A TCP server that does as a test wants. */
export interface Backend extends Disposable {
  readonly address: string;
  /** Bytes that it got rid of. */
  sent(): number;
  open(): number;
}

export async function startBackend(onSocket: (socket: Socket) => void): Promise<Backend> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).on('close', () => sockets.delete(socket));
    onSocket(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  return {
    address: `127.0.0.1:${port}`,
    sent: () => [...sockets].reduce((sum, s) => sum + s.bytesWritten - s.writableLength, 0),
    open: () => sockets.size,
    [Symbol.dispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

/** Sends as much as is taken. */
export function pour(socket: Socket): void {
  const chunk = Buffer.alloc(64 * 1024);
  // A turn of the event loop for each: what the kernel takes at once would go on within one call for ever.
  const more = () => {
    if (!socket.destroyed && socket.write(chunk)) setImmediate(more);
  };
  socket.on('drain', more);
  more();
}

/** Until all windows and buffers on the way are full: more than `least` was taken, and nothing between two looks. */
export async function standstill(taken: () => number, least: number): Promise<void> {
  let last = -1;
  const isStill = () => {
    const before = last;
    last = taken();
    return last > least && last === before;
  };
  await expect.poll(isStill, { timeout: 20_000, interval: 500 }).toBe(true);
}
