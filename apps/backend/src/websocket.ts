import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';

const maxMessageBytes = 16 << 20;

/** Accepts WebSockets at `/ws` and sends back each message as it came. Messages have at most 16 MiB. */
export function acceptWebSockets(server: Server): { close(): void } {
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: maxMessageBytes,
    perMessageDeflate: false,
  });
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    if (request.url?.split('?')[0] !== '/ws') {
      socket.end('HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n');
      return;
    }
    sockets.handleUpgrade(request, socket, head, (webSocket) =>
      sockets.emit('connection', webSocket, request),
    );
  });
  sockets.on('connection', (webSocket) => {
    // Wrong frames and vanished peers end their own connection alone.
    webSocket.on('error', () => webSocket.terminate());
    webSocket.on('message', (data, isBinary) => {
      // Reading waits for writing: a peer that does not read is held to one message.
      webSocket.pause();
      webSocket.send(data, { binary: isBinary }, () => webSocket.resume());
    });
  });
  return {
    close() {
      for (const webSocket of sockets.clients) webSocket.terminate();
      sockets.close();
    },
  };
}
