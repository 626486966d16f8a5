import type { Connection } from './connection.ts';
import { cutError, QuicError } from './errors.ts';
import type { TcpSocket } from './tcp.ts';
import type { SpliceResult } from './types.ts';

const EMPTY = new Uint8Array(0);
/** Most bytes of one read. */
const READ_SIZE = 512 * 1024;
/** Bytes under way to the transport before `write` waits. */
const HIGH_WATER = 1024 * 1024;

/** A splice on a connection that is gone: the addon says no more about it. */
const CUT: SpliceResult = { sent: 0, received: 0, reason: 'closed' };

interface Waiter<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (error: QuicError) => void;
}

/** The receiving half of a stream. Starts paused: nothing moves before `read` or a splice. */
export interface RecvStream {
  readonly id: number;
  /**
   * The next bytes, or null at the end.
   * @throws QuicError ERR_STREAM_RESET with the peer's code, ERR_CLOSED.
   */
  read(): Promise<Uint8Array | null>;
  /** Puts bytes back in front: a parser that read too far, before a splice. */
  unread(bytes: Uint8Array): void;
  /** Asks the peer to stop sending. */
  stop(code: number): void;
}

/** The sending half of a stream. */
export interface SendStream {
  readonly id: number;
  /**
   * Resolves once the bytes are in a bounded buffer: at most 1 MiB waits per stream.
   * @throws QuicError ERR_STREAM_STOPPED with the peer's code, ERR_CLOSED.
   */
  write(bytes: Uint8Array): Promise<void>;
  /** Ends the stream; resolves once the transport has everything. */
  finish(): Promise<void>;
  /** Abandons what is not sent yet. */
  reset(code: number): void;
}

/** A stream, bidirectional unless it came from `openUni` or `onUniStream`. */
export class QuicStream implements RecvStream, SendStream {
  readonly id: number;
  readonly connection: Connection;
  #unread: Uint8Array[] = [];
  #reader: Waiter<Uint8Array | null> | undefined;
  #writers: Waiter<void>[] = [];
  #unreported = 0;
  #cut: number | undefined;
  #ended = false;
  #closed = false;
  #splice: PromiseWithResolvers<SpliceResult> | undefined;
  #matched: ((matched: boolean) => void) | undefined;
  #part: (() => void) | undefined;

  /** @internal */
  constructor(connection: Connection, id: number, first: Uint8Array) {
    this.connection = connection;
    this.id = id;
    if (first.length > 0) this.#unread.push(first);
  }

  read(): Promise<Uint8Array | null> {
    const ready = this.#unread.shift();
    if (ready !== undefined) return Promise.resolve(ready);
    if (this.#ended) return Promise.resolve(null);
    if (this.#closed) return Promise.reject(cutError(-1, 'reading'));
    if (this.#reader !== undefined) return Promise.reject(busy('reads'));
    return new Promise((resolve, reject) => {
      this.#reader = { resolve, reject };
      this.#native.read(this.connection.id, this.id, READ_SIZE);
    });
  }

  unread(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#unread.unshift(bytes);
  }

  stop(code: number): void {
    this.#unread = [];
    this.#native.stopStream(this.connection.id, this.id, code);
  }

  write(bytes: Uint8Array): Promise<void> {
    return this.#write(bytes, false);
  }

  finish(): Promise<void> {
    return this.#write(EMPTY, true);
  }

  reset(code: number): void {
    this.#native.resetStream(this.connection.id, this.id, code);
  }

  /** TCP to stream, natively; the end of the socket finishes the stream, a reset resets it. */
  spliceSend(socket: TcpSocket): void {
    this.#native.spliceSend(this.connection.id, this.id, socket.id, concat(socket.takeUnread()));
    this.#join(socket);
  }

  /** Stream to TCP, natively. Bytes read too far have to be put back before. */
  spliceRecv(socket: TcpSocket): void {
    this.#spliceRecv(socket, undefined);
  }

  /**
   * As `spliceRecv`, once the stream has begun with `expected`, which is taken off. Resolves true when it has; false
   * when something else came or the stream ended: then nothing is joined in this direction and the stream can be read.
   */
  spliceRecvAfter(expected: Uint8Array, socket: TcpSocket): Promise<boolean> {
    this.#spliceRecv(socket, expected);
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#matched = resolve;
    return promise;
  }

  /**
   * Dials, then sends `preamble` on the stream and joins both directions, without a turn of JavaScript between.
   * On an error nothing was sent and the stream is as before: another address can be tried.
   * @throws QuicError ERR_TCP_REFUSED, ERR_TCP_UNREACHABLE, ERR_TCP_TIMEOUT; ERR_INVALID_ARG.
   */
  async spliceDial(options: { address: string; timeoutMs: number; preamble: Uint8Array }): Promise<void> {
    if (this.#reader !== undefined) throw busy('reads');
    const { address, timeoutMs, preamble } = options;
    const first = concat(this.#unread);
    const { id, connection } = this;
    const dial = (socket: number) =>
      this.#native.spliceDial(connection.id, id, socket, address, timeoutMs, preamble, first);
    const socket = await connection.dial(address, dial);
    this.#unread = [];
    this.#join(socket);
  }

  /** Resolves when both directions have ended. */
  get spliceDone(): Promise<SpliceResult> {
    this.#splice ??= Promise.withResolvers();
    if (this.#closed) this.#splice.resolve(CUT);
    return this.#splice.promise;
  }

  get #native() {
    return this.connection.native;
  }

  #join(socket: TcpSocket): void {
    this.#splice ??= Promise.withResolvers();
    const [before, part] = [this.#part, socket.join()];
    this.#part = () => {
      before?.();
      part();
    };
    if (this.#closed) this.#part();
  }

  #spliceRecv(socket: TcpSocket, expected: Uint8Array | undefined): void {
    if (this.#reader !== undefined) throw busy('reads');
    const first = concat(this.#unread.splice(0));
    this.#native.spliceReceive(this.connection.id, this.id, socket.id, first, expected);
    this.#join(socket);
  }

  #write(bytes: Uint8Array, finish: boolean): Promise<void> {
    if (this.#cut !== undefined) return Promise.reject(cutError(this.#cut, 'writing'));
    this.#unreported += bytes.length;
    const report = finish || this.#unreported > HIGH_WATER;
    this.#native.write(this.connection.id, this.id, bytes, finish, report);
    if (!report) return Promise.resolve();
    this.#unreported = 0;
    return new Promise((resolve, reject) => this.#writers.push({ resolve, reject }));
  }

  /** @internal */
  onRead(data: Uint8Array | undefined, cut: number | undefined): void {
    const reader = this.#reader;
    this.#reader = undefined;
    if (cut !== undefined) reader?.reject(cutError(cut, 'reading'));
    else {
      this.#ended = data === undefined;
      reader?.resolve(data ?? null);
    }
  }

  /** @internal */
  onWritten(cut: number | undefined): void {
    const writers = this.#writers.splice(0);
    this.#cut = cut;
    for (const w of writers) cut === undefined ? w.resolve() : w.reject(cutError(cut, 'writing'));
  }

  /** @internal */
  onSpliceMatched(matched: boolean): void {
    this.#matched?.(matched);
    this.#matched = undefined;
  }

  /** @internal */
  onSpliceDone(result: SpliceResult): void {
    this.#splice ??= Promise.withResolvers();
    this.#splice.resolve(result);
    this.onClosed();
  }

  /** @internal Both directions or the connection are gone; what the addon still has to say will not come. */
  onClosed(): void {
    this.#closed = true;
    this.onRead(undefined, -1);
    this.onWritten(this.#cut ?? -1);
    this.onSpliceMatched(false);
    this.#splice?.resolve(CUT);
    this.#part?.();
    this.#part = undefined;
  }
}

function busy(what: string): QuicError {
  return new QuicError('ERR_INVALID_ARG', `somebody ${what} from this stream already`);
}

function concat(parts: Uint8Array[]): Uint8Array {
  return parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts);
}
