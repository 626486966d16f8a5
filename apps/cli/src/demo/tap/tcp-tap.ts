import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import type { Endpoint } from './udp-tap.ts';

const maxCapturedBytes = 64 << 20;

/** A TCP forwarder in front of one target that keeps what passes, both directions in the order of arrival. */
export class TcpTap implements AsyncDisposable {
  readonly address: Endpoint;
  readonly #server: Server;
  readonly #open = new Set<Socket>();
  readonly #recorded: Buffer[] = [];
  #bytes = 0;

  private constructor(server: Server, target: Endpoint) {
    const { address, port } = server.address() as AddressInfo;
    this.address = { host: address, port };
    this.#server = server;
    server.on('connection', (socket: Socket) => this.#join(socket, target));
  }

  /** Binds a free port of 127.0.0.1. */
  static async open(target: Endpoint): Promise<TcpTap> {
    const server = createServer({ allowHalfOpen: true, noDelay: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new TcpTap(server, target);
  }

  /** What passed, in pieces; at most 64 MiB are kept. */
  get recorded(): readonly Buffer[] {
    return this.#recorded;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#open) socket.destroy();
    await closed;
  }

  #join(near: Socket, target: Endpoint): void {
    const far = connect({ ...target, allowHalfOpen: true, noDelay: true });
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#open.add(socket);
      socket.on('data', (piece: Buffer) => this.#see(piece));
      socket.on('error', () => other.destroy());
      socket.on('close', () => this.#open.delete(socket));
      socket.pipe(other);
    }
  }

  #see(piece: Buffer): void {
    if (this.#bytes + piece.length > maxCapturedBytes) return;
    this.#bytes += piece.length;
    this.#recorded.push(Buffer.from(piece));
  }
}
