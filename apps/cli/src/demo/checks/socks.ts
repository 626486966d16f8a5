import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { Address } from '@ztna/runtime';

/** What the proxy answered to CONNECT. */
export type SocksAnswer = 'succeeded' | SocksRefusal;

export type SocksRefusal =
  | 'general-failure'
  | 'not-allowed'
  | 'network-unreachable'
  | 'host-unreachable'
  | 'refused'
  | 'timed-out'
  | 'not-supported';

/** Reply codes, RFC 1928 §6. */
const answers: readonly SocksAnswer[] = [
  'succeeded',
  'general-failure',
  'not-allowed',
  'network-unreachable',
  'host-unreachable',
  'refused',
  'timed-out',
  'not-supported',
  'not-supported',
];

export interface SocksConnection extends Disposable {
  readonly answer: SocksAnswer;
  readonly socket: Socket;
}

/** Asks a SOCKS5 proxy for a TCP connection to a name (RFC 1928 §4, ATYP 3). Throws when it is no such proxy. */
export async function socksConnect(
  proxy: Address,
  to: Address,
  signal: AbortSignal,
): Promise<SocksConnection> {
  const socket = connect({ ...proxy, noDelay: true });
  const onAbort = () => socket.destroy(new Error('given up'));
  signal.addEventListener('abort', onAbort);
  try {
    await once(socket, 'connect');
    socket.write(Uint8Array.of(5, 1, 0));
    const [version, method] = await take(socket, 2);
    if (version !== 5 || method !== 0) throw new Error('the proxy does not speak SOCKS5 without a password');
    const name = Buffer.from(to.host);
    socket.write(Buffer.from([5, 1, 0, 3, name.length, ...name, to.port >> 8, to.port & 0xff]));
    const reply = await take(socket, 4);
    await take(socket, reply[3] === 4 ? 18 : 6);
    const answer = answers[reply[1] ?? 1] ?? 'general-failure';
    return { answer, socket, [Symbol.dispose]: () => void socket.destroy() };
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

async function take(socket: Socket, length: number): Promise<Buffer> {
  for (;;) {
    const bytes = socket.read(length) as Buffer | null;
    if (bytes?.length === length) return bytes;
    if (bytes || socket.readableEnded || socket.destroyed) throw new Error('the proxy closed the connection');
    const ended = new AbortController();
    await Promise.race([
      once(socket, 'readable', { signal: ended.signal }),
      once(socket, 'end', { signal: ended.signal }),
    ]).finally(() => ended.abort());
  }
}
