import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { placeOf } from './place.ts';
import { Tally } from './tally.ts';

/** Numbered records on one TCP connection to an echo, at a steady pace: all must come back, in order. */
export class StreamEcho {
  readonly #socket: Socket;
  readonly tally = new Tally();
  readonly #timer: NodeJS.Timeout;
  readonly #size: number;
  #rest = Buffer.alloc(0);
  #expected = 0;

  private constructor(socket: Socket, everyMs: number, size: number) {
    this.#socket = socket;
    this.#size = size;
    socket.setNoDelay(true);
    socket.on('error', (error) => this.#end(error.message));
    socket.on('close', () => this.#end('closed by the other side'));
    socket.on('data', (data: Buffer) => this.#onData(data));
    this.#timer = setInterval(() => {
      const record = Buffer.alloc(size);
      record.writeUInt32BE(this.tally.send());
      socket.write(record);
    }, everyMs);
  }

  static async open(to: string, everyMs: number, size: number): Promise<StreamEcho> {
    const socket = connect(placeOf(to));
    await once(socket, 'connect');
    return new StreamEcho(socket, everyMs, size);
  }

  stop(): void {
    this.#end('stopped');
  }

  #onData(data: Buffer): void {
    let rest = Buffer.concat([this.#rest, data]);
    while (rest.length >= this.#size) {
      const number = rest.readUInt32BE(0);
      if (number !== this.#expected++)
        return this.#end(`record ${number} came instead of ${this.#expected - 1}`);
      this.tally.answer(number);
      rest = rest.subarray(this.#size);
    }
    this.#rest = rest;
  }

  #end(how: string): void {
    clearInterval(this.#timer);
    this.tally.end(how);
    this.#socket.destroy();
  }
}
