import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';

// Below the ports that Linux gives to who asks for any (32768 and up): nothing takes one of these by chance between
// here and its use. Test files of one run that are side by side have ranges of their own.
const RANGE = 4_000;
const first = 12_000 + RANGE * (Number(process.env.VITEST_POOL_ID ?? 0) % 5);
let offset = Math.floor(Math.random() * RANGE);

/** A UDP port of 127.0.0.1 that is free. */
export async function freeUdpPort(): Promise<number> {
  return firstFree(async (port) => {
    const socket = createSocket('udp4');
    socket.bind(port, '127.0.0.1');
    try {
      await once(socket, 'listening');
    } finally {
      socket.close();
    }
    await once(socket, 'close');
  });
}

/** A TCP port of 127.0.0.1 that is free: connections to it are refused. */
export async function freeTcpPort(): Promise<number> {
  return firstFree(async (port) => {
    const server = createServer();
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    server.close();
    await once(server, 'close');
  });
}

async function firstFree(tryOut: (port: number) => Promise<void>): Promise<number> {
  for (let attempt = 0; attempt < RANGE; attempt++) {
    const port = first + (offset++ % RANGE);
    try {
      await tryOut(port);
      return port;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    }
  }
  throw new Error(`no port is free between ${first} and ${first + RANGE}`);
}
