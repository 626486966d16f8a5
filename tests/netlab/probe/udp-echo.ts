import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { isIPv6 } from 'node:net';
import { placeOf } from './place.ts';
import { Tally } from './tally.ts';

/** Numbered datagrams to an echo, at a steady pace. */
export class UdpEcho {
  readonly #socket: Socket;
  readonly tally = new Tally();
  readonly #timer: NodeJS.Timeout;

  private constructor(socket: Socket, everyMs: number, size: number) {
    this.#socket = socket;
    socket.on('error', () => {});
    socket.on('message', (message) => this.tally.answer(message.readUInt32BE(0)));
    this.#timer = setInterval(() => {
      const payload = Buffer.alloc(size);
      payload.writeUInt32BE(this.tally.send());
      socket.send(payload);
    }, everyMs);
  }

  static async open(to: string, everyMs: number, size: number): Promise<UdpEcho> {
    const { host, port } = placeOf(to);
    const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4');
    socket.connect(port, host);
    await once(socket, 'connect');
    return new UdpEcho(socket, everyMs, size);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#socket.close();
    this.tally.end('stopped');
  }
}
