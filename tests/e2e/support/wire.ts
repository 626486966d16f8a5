import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';

/** UDP between peers and a target on loopback, which can go dark: nothing passes any more, and nobody is told. */
export class Wire implements Disposable {
  isDark = false;
  readonly address: string;
  readonly #near: Socket;
  /** Towards the target, by the port of the peer. */
  readonly #far = new Map<number, Socket>();
  readonly #target: number;

  private constructor(near: Socket, target: number) {
    this.#near = near;
    this.#target = target;
    this.address = `127.0.0.1:${near.address().port}`;
    near.on('message', (bytes, { port }) => {
      if (!this.isDark) this.#farOf(port).send(bytes, this.#target, '127.0.0.1');
    });
  }

  static async to(target: string): Promise<Wire> {
    const near = createSocket('udp4').bind(0, '127.0.0.1');
    await once(near, 'listening');
    return new Wire(near, Number(target.split(':').at(-1)));
  }

  [Symbol.dispose](): void {
    for (const socket of [this.#near, ...this.#far.values()]) socket.close();
  }

  #farOf(port: number): Socket {
    const known = this.#far.get(port);
    if (known) return known;
    const far = createSocket('udp4');
    far.on('message', (bytes) => {
      if (!this.isDark) this.#near.send(bytes, port, '127.0.0.1');
    });
    this.#far.set(port, far);
    return far;
  }
}
