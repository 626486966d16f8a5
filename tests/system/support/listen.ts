import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';

/** An echo over TCP that keeps half-closed connections, until `cleanup`. Gives its address. */
export async function listenTcp(cleanup: AsyncDisposableStack): Promise<string> {
  const server = createServer({ allowHalfOpen: true }, (socket) => socket.on('error', () => {}).pipe(socket));
  cleanup.defer(() => void server.close());
  return bound(server);
}

/** Listens on a port of loopback that the system chooses. */
export async function bound(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}
