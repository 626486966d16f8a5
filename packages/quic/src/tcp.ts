import type { Endpoint } from './endpoint.ts';
import { QuicError, tcpError } from './errors.ts';

const READ_SIZE = 64 * 1024;

interface Waiter<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (error: QuicError) => void;
}

/**
 * A local TCP connection. Starts paused; a proxy reads the handshake, writes the answer and splices the
 * rest. After a splice the socket belongs to the stream.
 */
export class TcpSocket {
  readonly id: number;
  /** `ip:port` of the other side. */
  readonly remoteAddress: string;
  readonly #endpoint: Endpoint;
  #unread: Uint8Array[] = [];
  #reader: Waiter<Uint8Array | null> | undefined;
  #writers: Waiter<void>[] = [];
  #closed = false;

  /** @internal */
  constructor(endpoint: Endpoint, id: number, remoteAddress: string) {
    this.#endpoint = endpoint;
    this.id = id;
    this.remoteAddress = remoteAddress;
  }

  /** The next bytes, or null at the end. @throws QuicError ERR_TCP_RESET, ERR_CLOSED. */
  read(): Promise<Uint8Array | null> {
    const ready = this.#unread.shift();
    if (ready !== undefined) return Promise.resolve(ready);
    if (this.#reader !== undefined) {
      return Promise.reject(new QuicError('ERR_INVALID_ARG', 'somebody reads from this socket already'));
    }
    return new Promise((resolve, reject) => {
      this.#reader = { resolve, reject };
      this.#endpoint.native.tcpRead(this.id, READ_SIZE);
    });
  }

  /** Puts bytes back in front. */
  unread(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#unread.unshift(bytes);
  }

  /** Resolves once the kernel has the bytes. @throws QuicError ERR_TCP_RESET, ERR_CLOSED. */
  write(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#writers.push({ resolve, reject });
      this.#endpoint.native.tcpWrite(this.id, bytes, true);
    });
  }

  /** Closes so that the other side sees a reset, and resets the stream that it is joined to. */
  reset(): void {
    this.#close(true);
  }

  /** Closes after what was written has gone out. */
  close(): void {
    this.#close(false);
  }

  #close(reset: boolean): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#endpoint.native.tcpClose(this.id, reset);
    this.#release();
  }

  /** @internal */
  takeUnread(): Uint8Array[] {
    return this.#unread.splice(0);
  }

  /** @internal The socket belongs to a stream now; gives what to call when the stream has ended. */
  join(): () => void {
    this.#endpoint.joinTcp(this.id);
    this.#release();
    return () => this.#endpoint.partTcp(this.id);
  }

  #release(): void {
    this.#endpoint.forgetTcp(this.id, this);
  }

  /** @internal */
  get isIdle(): boolean {
    return this.#reader === undefined && this.#writers.length === 0;
  }

  /** @internal */
  onRead(data: Uint8Array | undefined, error: string | undefined): void {
    const reader = this.#reader;
    this.#reader = undefined;
    if (error === undefined) reader?.resolve(data ?? null);
    else reader?.reject(tcpError(error, `TCP connection with ${this.remoteAddress}`));
  }

  /** @internal */
  onWritten(error: string | undefined): void {
    for (const w of this.#writers.splice(0)) {
      if (error === undefined) w.resolve();
      else w.reject(tcpError(error, `TCP connection with ${this.remoteAddress}`));
    }
  }
}

/** A listening TCP socket. */
export interface TcpListener {
  /** With the port that the system chose. */
  readonly address: string;
  close(): void;
}
