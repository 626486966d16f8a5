import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { parseAddress } from '@ztna/runtime';

/** A TCP connection to `host:port`. */
export async function dial(address: string): Promise<Socket> {
  const { host, port } = parts(address);
  const socket = connect({ host, port, allowHalfOpen: true });
  await once(socket, 'connect');
  return socket;
}

/** Everything until the other side ends. Rejects when it resets. */
export async function readAll(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** Exactly `size` bytes, those behind them stay. Rejects when the connection ends before that. */
export async function readExactly(socket: Socket, size: number): Promise<Buffer> {
  let got = Buffer.alloc(0);
  for (;;) {
    // Not read(size): with fewer bytes there, `readable` comes again at once, and nothing else gets its turn.
    const chunk = socket.read() as Buffer | null;
    if (chunk !== null) {
      got = Buffer.concat([got, chunk]);
      if (got.length > size) socket.unshift(got.subarray(size));
      if (got.length >= size) return got.subarray(0, size);
      continue;
    }
    if (socket.readableEnded || socket.destroyed) {
      throw new Error('the connection ended early', { cause: socket.errored ?? undefined });
    }
    await once(socket, 'readable');
  }
}

/** The code of the error with which a connection ends, `ECONNRESET`; undefined when it ends in order. */
export async function endOf(socket: Socket): Promise<string | undefined> {
  socket.resume();
  return new Promise((resolve) => {
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code));
    socket.once('end', () => resolve(undefined));
  });
}

/** A UDP socket of 127.0.0.1; close it. */
export async function udpSocket(): Promise<UdpSocket> {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return socket;
}

/** Sends a datagram and gives the next one that comes, sending again until then: UDP may lose. */
export async function exchange(socket: UdpSocket, payload: Uint8Array, address: string): Promise<Buffer> {
  const { host, port } = parts(address);
  const answer = once(socket, 'message');
  const send = () => socket.send(payload, port, host);
  const again = setInterval(send, 500);
  send();
  try {
    return (await answer)[0] as Buffer;
  } finally {
    clearInterval(again);
  }
}

export function parts(address: string) {
  const parsed = parseAddress(address);
  if (!parsed) throw new Error(`not an address: ${address}`);
  return parsed;
}
