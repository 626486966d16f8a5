import { connectionStats, pathEvent, pathInfo } from './convert.ts';
import type { Endpoint } from './endpoint.ts';
import { fromNative, QuicError } from './errors.ts';
import type { NativeEvent } from './native.ts';
import { QuicStream, type RecvStream, type SendStream } from './stream.ts';
import type { TcpSocket } from './tcp.ts';
import type {
  CloseInfo,
  ConnectionEvent,
  ConnectionStats,
  PathEvent,
  PathInfo,
  PathStatus,
} from './types.ts';
import type { VirtualPath } from './virtual.ts';

type Connected = Extract<NativeEvent, { type: 'connected' }>;

/**
 * A connection whose handshake is complete. It delivers no stream and no datagram before `accept()`: the
 * caller looks at `peerChain` first and calls `close()` if it does not like what it sees.
 */
export class Connection implements AsyncDisposable {
  readonly id: number;
  readonly side: 'client' | 'server';
  readonly alpn: string;
  /** The virtual path on which it was accepted. */
  readonly virtualPath: VirtualPath | undefined;
  /** DER, leaf first; empty when the peer presented none. */
  readonly peerChain: readonly Uint8Array[];
  /** The chain comes from a ticket and was not verified in this handshake. */
  readonly resumed: boolean;
  /** Resolves once, never rejects. */
  readonly closed: Promise<CloseInfo>;
  onBiStream: ((stream: QuicStream) => void) | undefined;
  onUniStream: ((stream: RecvStream) => void) | undefined;
  /** Datagrams that no rule, virtual path or UDP flow takes. */
  onDatagrams: ((batch: Uint8Array[]) => void) | undefined;
  onEvent: ((event: ConnectionEvent) => void) | undefined;
  onPath: ((event: PathEvent) => void) | undefined;
  /** Client: everywhere that the peer says it might be reached, those left out that `direct` refuses. */
  onCandidates: ((addresses: readonly string[]) => void) | undefined;
  /** What `onCandidates` was told last, or would have been. */
  candidates: readonly string[] = [];
  /** Our address as the peer sees it. */
  observedAddress: string | undefined;
  readonly #endpoint: Endpoint;
  readonly #streams = new Map<number, QuicStream>();
  readonly #closed = Promise.withResolvers<CloseInfo>();
  #remoteAddress: string;
  #maxDatagramSize: number;
  #closeInfo: CloseInfo | undefined;
  /** Streams opened so far: bidirectional, unidirectional. */
  readonly #opened = { 0: 0, 2: 0 };
  /** Events before `accept()`. */
  #early: (() => void)[] | undefined = [];

  /** @internal */
  constructor(endpoint: Endpoint, event: Connected, virtualPath: VirtualPath | undefined) {
    this.#endpoint = endpoint;
    this.id = event.conn;
    this.side = event.isServer ? 'server' : 'client';
    this.alpn = event.alpn;
    this.virtualPath = virtualPath;
    this.peerChain = event.peerChain;
    this.resumed = event.resumed;
    this.closed = this.#closed.promise;
    this.#remoteAddress = event.remote;
    this.#maxDatagramSize = event.maxDatagram;
  }

  /** `ip:port` of the peer on the first path, or a virtual address. */
  get remoteAddress(): string {
    return this.#remoteAddress;
  }

  /** Largest datagram that fits now, in bytes. */
  get maxDatagramSize(): number {
    return this.#maxDatagramSize;
  }

  get isClosed(): boolean {
    return this.#closeInfo !== undefined;
  }

  /** @internal */
  get native() {
    return this.#endpoint.native;
  }

  /** @internal */
  dial(address: string, start: (socket: number) => void): Promise<TcpSocket> {
    return this.#endpoint.dial(address, start);
  }

  /** Lets streams, datagrams and events through; set the handlers before. */
  accept(): void {
    this.native.accept(this.id);
    const early = this.#early;
    this.#early = undefined;
    for (const call of early ?? []) call();
  }

  /**
   * Opens a stream at once. The peer hears of it with its first bytes; until its limits allow the stream, what is
   * written waits. @throws QuicError ERR_CLOSED.
   */
  openBi(): QuicStream {
    return this.#open(0);
  }

  /** As `openBi`, for sending only. @throws QuicError ERR_CLOSED. */
  openUni(): SendStream {
    return this.#open(2);
  }

  /** False when it is larger than `maxDatagramSize`. One that finds the queue full is dropped and counted. */
  sendDatagram(data: Uint8Array): boolean {
    if (data.length > this.#maxDatagramSize || this.isClosed) return false;
    this.native.sendDatagram(this.id, data);
    return true;
  }

  async paths(): Promise<PathInfo[]> {
    const event = await this.#endpoint.request('paths', (r) => this.native.paths(this.id, r));
    return event.paths.map(pathInfo);
  }

  /**
   * Opens a further path and returns its number; it carries data once it is `opened` (see `onPath`).
   * @throws QuicError ERR_CONNECT: no multipath, too many paths, server side, an address that `direct` refuses.
   */
  async openPath(address: string, options?: { status?: PathStatus }): Promise<number> {
    const backup = options?.status === 'backup';
    const start = (r: number) => this.native.openPath(this.id, address, backup, r);
    const event = await this.#endpoint.request('opened-path', start);
    if (event.path === undefined) throw new QuicError('ERR_CONNECT', `path to ${address}: ${event.error}`);
    return event.path;
  }

  /**
   * Turns direct paths on for this connection and shows the peer where we might be reached (`ip:port`, at most 16),
   * in place of what was shown before. An empty list is fine on a server; a client needs one address to probe.
   * `undefined` turns direct paths off and closes them; off is how a connection begins. Refused addresses are left out.
   * @throws QuicError ERR_INVALID_ARG.
   */
  setCandidates(addresses: readonly string[] | undefined): void {
    try {
      this.native.setCandidates(this.id, addresses && [...addresses]);
    } catch (error) {
      throw fromNative(error);
    }
  }

  /**
   * Client: has both sides probe each other's candidates for some seconds; what is found comes as `opened`, as a
   * backup. Four rounds at once and one in two seconds after that; what is more is not done, and counted.
   */
  probe(): void {
    this.native.probe(this.id);
  }

  /** The client decides for both sides: its server follows. */
  setPathStatus(path: number, status: PathStatus): void {
    this.native.setPathStatus(this.id, path, status === 'backup');
  }

  /** The first path is for the life of the connection: leave it open. */
  closePath(path: number): void {
    this.native.closePath(this.id, path);
  }

  /** Makes every path send something now that the peer has to acknowledge. */
  ping(): void {
    this.native.ping(this.id);
  }

  /** Undefined once the connection is gone. */
  async stats(): Promise<ConnectionStats | undefined> {
    const start = (r: number) => this.native.connectionStats(this.id, r);
    const event = await this.#endpoint.request('connection-stats', start);
    return event.stats === undefined ? undefined : connectionStats(event.stats);
  }

  /** Ends the connection at once; streams and splices on it are cut. */
  close(code = 0, reason = ''): void {
    this.native.close(this.id, code, reason);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
    await this.closed;
  }

  /** Numbers of streams: RFC 9000 §2.1. */
  #open(kind: 0 | 2): QuicStream {
    if (this.#closeInfo !== undefined) throw closedError(this.#closeInfo);
    const id = 4 * this.#opened[kind]++ + kind + (this.side === 'server' ? 1 : 0);
    this.native.openStream(this.id, id);
    return this.#add(id, new Uint8Array(0));
  }

  #add(id: number, first: Uint8Array): QuicStream {
    const stream = new QuicStream(this, id, first);
    this.#streams.set(id, stream);
    return stream;
  }

  /** @internal */
  handle(event: NativeEvent & { conn: number }): void {
    switch (event.type) {
      case 'stream-opened':
        this.#onStream(event.stream, event.bidi, event.first);
        break;
      case 'read':
        this.#streams.get(event.stream)?.onRead(event.data, event.cut);
        break;
      case 'written':
        this.#streams.get(event.stream)?.onWritten(event.cut);
        break;
      case 'splice-done': {
        const { sent, received, end } = event;
        this.#streams.get(event.stream)?.onSpliceDone({ sent, received, reason: end as never });
        this.#streams.delete(event.stream);
        break;
      }
      case 'splice-matched':
        this.#streams.get(event.stream)?.onSpliceMatched(event.matched);
        break;
      case 'stream-closed':
        this.#streams.get(event.stream)?.onClosed();
        this.#streams.delete(event.stream);
        break;
      case 'datagrams':
        this.onDatagrams?.(event.batch);
        break;
      case 'max-datagram':
        this.#maxDatagramSize = event.size;
        break;
      case 'observed-address':
        this.observedAddress = event.address;
        this.#emit({ type: 'observed-address', address: event.address });
        break;
      case 'peer-address':
        this.#remoteAddress = event.address;
        this.#emit({ type: 'peer-address', address: event.address });
        break;
      case 'stalled':
      case 'recovered':
        this.#emit({ type: event.type });
        break;
      case 'path': {
        const change = pathEvent(event);
        this.#deliver(() => this.onPath?.(change));
        break;
      }
      case 'candidates':
        this.candidates = event.addresses;
        this.#deliver(() => this.onCandidates?.(event.addresses));
        break;
      default:
        break;
    }
  }

  #emit(event: ConnectionEvent): void {
    this.#deliver(() => this.onEvent?.(event));
  }

  #deliver(call: () => void): void {
    if (this.#early === undefined) call();
    else this.#early.push(call);
  }

  #onStream(id: number, bidi: boolean, first: Uint8Array): void {
    const stream = this.#add(id, first);
    const handler = bidi ? this.onBiStream : this.onUniStream;
    if (handler !== undefined) return handler(stream);
    stream.stop(0);
    if (bidi) stream.reset(0);
  }

  /** @internal */
  onClosed(info: CloseInfo): void {
    if (this.#closeInfo !== undefined) return;
    this.#closeInfo = info;
    for (const stream of this.#streams.values()) stream.onClosed();
    this.#streams.clear();
    this.#closed.resolve(info);
  }
}

function closedError({ kind, reason }: CloseInfo): QuicError {
  const why = reason === '' ? kind : `${kind}: ${reason}`;
  return new QuicError('ERR_CLOSED', `the connection is closed (${why})`);
}
