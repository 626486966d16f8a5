import type { TcpSocket } from '@ztna/quic';
import type { Parsed } from './parsed.ts';

/** What a client sends before its bytes are the service's. Parsers bound how much is held. */
export class HandshakeReader {
  readonly #socket: TcpSocket;
  #held = new Uint8Array(0);

  constructor(socket: TcpSocket) {
    this.#socket = socket;
  }

  /** The first byte, which stays. Undefined when the client ended. Throws QuicError. */
  async peek(): Promise<number | undefined> {
    while (this.#held.length === 0) if (!(await this.#more())) return undefined;
    return this.#held[0];
  }

  /** Reads until the parser has decided; undefined when the client ended before that. Throws QuicError. */
  async read<T, E>(parse: (bytes: Uint8Array) => Parsed<T, E>) {
    for (;;) {
      const parsed = parse(this.#held);
      if (parsed.type === 'done') this.#held = this.#held.subarray(parsed.size);
      if (parsed.type !== 'need-more') return parsed;
      if (!(await this.#more())) return undefined;
    }
  }

  /** Gives what came behind the handshake back to the socket. */
  release(): void {
    this.#socket.unread(this.#held);
  }

  async #more(): Promise<boolean> {
    const chunk = await this.#socket.read();
    if (chunk === null) return false;
    this.#held = this.#held.length === 0 ? new Uint8Array(chunk) : Buffer.concat([this.#held, chunk]);
    return true;
  }
}
