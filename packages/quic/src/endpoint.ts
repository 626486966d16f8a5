import { Connection } from './connection.ts';
import { counts, forwardStats, transport } from './convert.ts';
import { fromNative, QuicError, tcpError } from './errors.ts';
import { Ids } from './ids.ts';
import { NativeEndpoint, type NativeEndpointType, type NativeEvent, type NativeServer } from './native.ts';
import { Pending } from './pending.ts';
import { type TcpListener, TcpSocket } from './tcp.ts';
import type {
  CloseInfo,
  ConnectOptions,
  DirectOptions,
  EndpointOptions,
  EndpointStats,
  ForwardOptions,
  ForwardRule,
  ServerOptions,
  TlsIdentity,
  TlsTrust,
  UdpFlowEnd,
  UdpFlowOptions,
  UdpFlowStats,
  VirtualPathOptions,
} from './types.ts';
import type { UdpFlow, UdpListener, UdpListenOptions, UdpPeer } from './udp.ts';
import { VirtualPath } from './virtual.ts';

type EventOf<T extends NativeEvent['type']> = Extract<NativeEvent, { type: T }>;
type Answer = Extract<NativeEvent, { request: number }>;

const CONNECT_TIMEOUT_MS = 10_000;
const DEFAULT_SERVER_NAME = 'ztna.invalid';
const NOTHING: UdpFlowStats = { sent: 0, sentBytes: 0, received: 0, receivedBytes: 0, dropped: 0 };
const MAX_HANDSHAKES = 1_000;

/**
 * One UDP socket with a native thread behind it: QUIC connections in both roles, forwarding of opaque
 * datagrams, virtual paths, and local TCP and UDP sockets joined to them. Open endpoints do not keep the
 * process alive, operations under way do.
 */
export class Endpoint implements AsyncDisposable {
  /** Address of the UDP socket, with the port that the system chose. */
  readonly localAddress: string;
  /** A peer's handshake is complete. Call `accept()` or `close()` on the connection. */
  onConnection: ((connection: Connection) => void) | undefined;
  /** The native thread died; every connection is closed. Cannot happen but for bugs. */
  onFailure: ((error: QuicError) => void) | undefined;
  readonly #native: NativeEndpointType;
  #flushDue = false;
  readonly #identity: TlsIdentity | undefined;
  readonly #pending = new Pending();
  readonly #connections = new Map<number, Connection>();
  readonly #connecting = new Map<number, PromiseWithResolvers<Connection>>();
  readonly #requests = new Map<number, (event: Answer | undefined) => void>();
  readonly #paths = new Map<number, VirtualPath>();
  readonly #tcp = new Map<number, TcpSocket>();
  readonly #dialling = new Map<number, { remote: string; done: PromiseWithResolvers<TcpSocket> }>();
  readonly #tcpListeners = new Map<number, (socket: TcpSocket) => void>();
  readonly #udpListeners = new Map<number, (peer: UdpPeer) => void>();
  readonly #udpFlows = new Map<number, (end: UdpFlowEnd) => void>();
  readonly #rules = new Set<number>();
  /** Sockets that belong to a stream. */
  readonly #joined = new Set<number>();
  /** @internal */
  readonly ids = new Ids([
    ...[this.#connections, this.#connecting, this.#requests, this.#paths, this.#rules],
    ...[this.#tcp, this.#dialling, this.#joined, this.#tcpListeners, this.#udpListeners, this.#udpFlows],
  ]);
  readonly #stopped = Promise.withResolvers<void>();
  #closing = false;

  /**
   * Binds the socket and starts the thread.
   * @throws QuicError ERR_BIND: address in use or not ours; ERR_TLS_CONFIG: which input, what is wrong;
   * ERR_INVALID_ARG.
   */
  static bind(options: EndpointOptions): Endpoint {
    return new Endpoint(options);
  }

  private constructor(options: EndpointOptions) {
    this.#identity = options.identity;
    try {
      this.#native = new NativeEndpoint(nativeOptions(options), () => this.#drain());
    } catch (error) {
      throw fromNative(error);
    }
    this.localAddress = this.#native.localAddress;
  }

  /** @internal To give orders. Those of one turn of the event loop go to the thread together, with one wake-up. */
  get native(): NativeEndpointType {
    if (!this.#flushDue) {
      this.#flushDue = true;
      setImmediate(() => {
        this.#flushDue = false;
        this.#native.flush();
      });
    }
    return this.#native;
  }

  /**
   * Connects, over the socket or over a virtual path. The peer's chain is verified up to a root, its
   * identity is not: look at `peerChain`, then `accept()` or `close()`.
   * @throws QuicError ERR_TIMEOUT; ERR_CONNECT with the peer's code; ERR_CLOSED; ERR_INVALID_ARG.
   */
  connect(options: ConnectOptions): Promise<Connection> {
    const id = this.ids.next();
    const done = Promise.withResolvers<Connection>();
    const { remote, serverName = DEFAULT_SERVER_NAME, alpn } = options;
    const abandon = (error: QuicError) => {
      if (this.#connecting.delete(id)) this.native.close(id, 0, '');
      done.reject(error);
    };
    const abort = () => abandon(new QuicError('ERR_CLOSED', `connecting to ${remote}: given up`));
    if (this.#closing || options.signal?.aborted) return Promise.reject(this.#closedError());
    try {
      this.native.connect(id, remote, serverName, [...alpn], transport(options.transport));
    } catch (error) {
      return Promise.reject(fromNative(error));
    }
    this.#connecting.set(id, done);
    const timeoutMs = options.timeoutMs ?? CONNECT_TIMEOUT_MS;
    const late = () =>
      abandon(new QuicError('ERR_TIMEOUT', `no answer from ${remote} within ${timeoutMs} ms`));
    const timer = setTimeout(late, timeoutMs);
    options.signal?.addEventListener('abort', abort, { once: true });
    return done.promise.finally(() => {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', abort);
    });
  }

  /**
   * New handshakes use these; session tickets issued before are dead. An identity left out stays.
   * @throws QuicError ERR_TLS_CONFIG: nothing has changed.
   */
  async reload(options: { identity?: TlsIdentity; trust: TlsTrust }): Promise<void> {
    const tls = nativeTls(options.identity ?? this.#identity, options.trust);
    const event = await this.request('reloaded', (r) => this.native.reload(tls, r));
    if (event.error !== undefined) throw new QuicError('ERR_TLS_CONFIG', event.error);
  }

  /**
   * Forwards datagrams natively from now on until `remove()` or the end of one of the connections. Remove it also after
   * that: only then what it takes here is free.
   */
  forward(options: ForwardOptions): ForwardRule {
    const id = this.ids.next();
    const { from, to, match, rewrite } = options;
    this.native.addRule(id, from.id, to.id, match, rewrite, options.maxBytesPerSecond);
    this.#rules.add(id);
    return {
      stats: async () => {
        const event = await this.request('rule-stats', (r) => this.native.ruleStats(id, r));
        return event.stats === undefined ? undefined : forwardStats(event.stats);
      },
      remove: () => {
        if (this.#rules.delete(id)) this.native.removeRule(id);
      },
    };
  }

  addVirtualPath(options: VirtualPathOptions): VirtualPath {
    const id = this.ids.next();
    const path = new VirtualPath(this, id, options, () => this.#paths.delete(id));
    this.#paths.set(id, path);
    return path;
  }

  /**
   * The host's addresses or routes are others than before: connections look at once whether they still work, and
   * direct paths from an address that is gone are closed.
   */
  networkChanged(): void {
    this.native.networkChanged();
  }

  /**
   * Replaces ranges and addresses of the option `direct`; direct paths that the new ones refuse are closed. Without that
   * option there are no direct paths, now as before. @throws QuicError ERR_INVALID_ARG.
   */
  setDirectFilter({ refuse = [], allow = [], leftOut = [] }: Omit<DirectOptions, 'minSilenceMs'>): void {
    this.#attempt(() => this.native.setDirectFilter([...refuse], [...allow], [...leftOut]));
  }

  /** @throws QuicError ERR_BIND. */
  listenTcp(options: { listen: string; onConnection: (socket: TcpSocket) => void }): TcpListener {
    const id = this.ids.next();
    const address = this.#attempt(() => this.native.listenTcp(id, options.listen));
    this.#tcpListeners.set(id, options.onConnection);
    return { address, close: () => this.#closeListener(id) };
  }

  /** @throws QuicError ERR_TCP_REFUSED, ERR_TCP_UNREACHABLE, ERR_TCP_TIMEOUT; ERR_INVALID_ARG. */
  dialTcp(options: { address: string; timeoutMs: number }): Promise<TcpSocket> {
    const { address, timeoutMs } = options;
    return this.dial(address, (id) => this.native.dialTcp(id, address, timeoutMs));
  }

  /** @throws QuicError ERR_BIND. */
  listenUdp(options: UdpListenOptions): UdpListener {
    const id = this.ids.next();
    const socks = options.header === 'socks5';
    const address = this.#attempt(() => this.native.listenUdp(id, options.listen, socks));
    this.#udpListeners.set(id, options.onPeer);
    return { address, close: () => this.#closeListener(id) };
  }

  /** A connected UDP socket joined to datagrams of a connection. @throws QuicError ERR_BIND. */
  dialUdp(options: UdpFlowOptions & { address: string }): UdpFlow {
    const { address, connection, prefix, idleTimeoutMs } = options;
    return this.#flow((id) => this.native.dialUdp(id, address, connection.id, prefix, idleTimeoutMs));
  }

  async stats(): Promise<EndpointStats> {
    const { stats: s } = await this.request('stats', (r) => this.native.stats(r));
    const { rxPackets, txPackets, rxCalls, txCalls, sendErrors } = s;
    return {
      connections: s.connections,
      udp: { rxPackets, txPackets, rxCalls, txCalls, sendErrors },
      unreadGranted: s.unreadGranted,
      drops: counts(s.drops),
      threadCpuMs: s.threadCpuMs,
      loops: s.loops,
    };
  }

  /** Tells all peers, ends the thread; resolves when the socket is closed. */
  close(options?: { code?: number; reason?: string }): Promise<void> {
    if (!this.#closing) {
      this.#closing = true;
      this.native.shutdown(options?.code ?? 0, options?.reason ?? '');
    }
    return this.#pending.hold(this.#stopped.promise);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** @internal */
  dial(address: string, start: (id: number) => void): Promise<TcpSocket> {
    if (this.#closing) return Promise.reject(this.#closedError());
    const id = this.ids.next();
    const done = Promise.withResolvers<TcpSocket>();
    try {
      start(id);
    } catch (error) {
      return Promise.reject(fromNative(error));
    }
    this.#dialling.set(id, { remote: address, done });
    return this.#pending.hold(done.promise);
  }

  /** @internal Asks the thread something; one answer comes, also when the thread ends. */
  request<T extends Answer['type']>(_type: T, start: (request: number) => void): Promise<EventOf<T>> {
    if (this.#closing) return Promise.reject(this.#closedError());
    const id = this.ids.next();
    const answer = new Promise<EventOf<T>>((resolve, reject) => {
      const settle = (event: Answer | undefined) =>
        event === undefined ? reject(this.#closedError()) : resolve(event as EventOf<T>);
      this.#requests.set(id, settle);
    });
    try {
      start(id);
    } catch (error) {
      this.#requests.delete(id);
      return Promise.reject(fromNative(error));
    }
    return this.#pending.hold(answer);
  }

  /** @internal A stream has this socket from now on, until `partTcp`. */
  joinTcp(id: number): void {
    this.#joined.add(id);
  }

  /** @internal */
  partTcp(id: number): void {
    this.#joined.delete(id);
  }

  /** @internal */
  forgetTcp(id: number, socket: TcpSocket): void {
    if (socket.isIdle) this.#tcp.delete(id);
  }

  #attempt<T>(run: () => T): T {
    try {
      return run();
    } catch (error) {
      throw fromNative(error);
    }
  }

  #closedError(): QuicError {
    return new QuicError('ERR_CLOSED', 'the endpoint is closed');
  }

  #closeListener(id: number): void {
    this.#tcpListeners.delete(id);
    this.#udpListeners.delete(id);
    this.native.closeListener(id);
  }

  #flow(start: (id: number) => void): UdpFlow {
    const id = this.ids.next();
    this.#attempt(() => start(id));
    const closed = Promise.withResolvers<UdpFlowEnd>();
    this.#udpFlows.set(id, closed.resolve);
    return {
      closed: closed.promise,
      stats: async (): Promise<UdpFlowStats | undefined> =>
        (await this.request('udp-flow-stats', (r) => this.native.udpFlowStats(id, r))).stats,
      close: () => this.native.closeUdpFlow(id),
    };
  }

  #drain(): void {
    for (const event of this.#native.drain()) this.#handle(event);
  }

  #handle(event: NativeEvent): void {
    if ('request' in event) {
      this.#requests.get(event.request)?.(event);
      this.#requests.delete(event.request);
      return;
    }
    switch (event.type) {
      case 'connected':
        return this.#onConnected(event);
      case 'closed':
        return this.#onClosed(event);
      case 'tcp-accepted':
        return this.#onAccepted(event);
      case 'tcp-connected':
        return this.#onDialled(event);
      case 'tcp-read':
        return this.#onTcp(event.socket, (s) => s.onRead(event.data, event.error));
      case 'tcp-written':
        return this.#onTcp(event.socket, (s) => s.onWritten(event.error));
      case 'udp-peer':
        return this.#onUdpPeer(event);
      case 'udp-flow-closed': {
        const resolve = this.#udpFlows.get(event.flow);
        this.#udpFlows.delete(event.flow);
        return resolve?.({ reason: event.end as UdpFlowEnd['reason'], stats: event.stats });
      }
      case 'stopped':
        return this.#onStopped(event.error);
      default:
        this.#connections.get(event.conn)?.handle(event);
    }
  }

  #onConnected(event: EventOf<'connected'>): void {
    const path = event.via === undefined ? undefined : this.#paths.get(event.via);
    const connection = new Connection(this, event, path);
    this.#connections.set(event.conn, connection);
    const waiting = this.#connecting.get(event.conn);
    this.#connecting.delete(event.conn);
    if (waiting !== undefined) waiting.resolve(connection);
    else if (event.isServer && this.onConnection !== undefined) this.onConnection(connection);
    else connection.close();
  }

  #onClosed(event: EventOf<'closed'>): void {
    const info: CloseInfo = { kind: event.kind as CloseInfo['kind'], code: event.code, reason: event.reason };
    const waiting = this.#connecting.get(event.conn);
    this.#connecting.delete(event.conn);
    waiting?.reject(connectError(info));
    const connection = this.#connections.get(event.conn);
    this.#connections.delete(event.conn);
    connection?.onClosed(info);
  }

  #onAccepted(event: EventOf<'tcp-accepted'>): void {
    const handler = this.#tcpListeners.get(event.listener);
    if (handler === undefined) return this.native.tcpClose(event.socket, true);
    handler(this.#addTcp(event.socket, event.remote));
  }

  #onDialled(event: EventOf<'tcp-connected'>): void {
    const dial = this.#dialling.get(event.socket);
    this.#dialling.delete(event.socket);
    if (dial === undefined) return this.native.tcpClose(event.socket, true);
    if (event.error === undefined) dial.done.resolve(this.#addTcp(event.socket, dial.remote));
    else dial.done.reject(tcpError(event.error, `connecting to ${dial.remote}`));
  }

  #addTcp(id: number, remote: string): TcpSocket {
    const socket = new TcpSocket(this, id, remote);
    this.#tcp.set(id, socket);
    return socket;
  }

  #onTcp(id: number, act: (socket: TcpSocket) => void): void {
    const socket = this.#tcp.get(id);
    if (socket !== undefined) act(socket);
  }

  #onUdpPeer(event: EventOf<'udp-peer'>): void {
    const { listener, peer } = event;
    const reject = () => this.native.rejectUdpPeer(listener, peer);
    const handler = this.#udpListeners.get(listener);
    if (handler === undefined) return reject();
    const bind = (options: UdpFlowOptions) =>
      this.#flow((id) =>
        this.native.bindUdpPeer(
          id,
          listener,
          peer,
          options.connection.id,
          options.prefix,
          options.idleTimeoutMs,
        ),
      );
    handler({ address: event.remote, header: event.header, bind, reject });
  }

  #onStopped(error: string | undefined): void {
    this.#closing = true;
    const info: CloseInfo = { kind: 'local', code: undefined, reason: error ?? 'the endpoint is closed' };
    for (const waiting of this.#connecting.values()) waiting.reject(connectError(info));
    for (const connection of this.#connections.values()) connection.onClosed(info);
    for (const settle of this.#requests.values()) settle(undefined);
    for (const resolve of this.#udpFlows.values()) resolve({ reason: 'closed', stats: NOTHING });
    for (const { remote, done } of this.#dialling.values())
      done.reject(tcpError('closed', `connecting to ${remote}`));
    for (const socket of this.#tcp.values()) {
      socket.onRead(undefined, 'closed');
      socket.onWritten('closed');
    }
    const maps = [
      this.#connecting,
      this.#connections,
      this.#requests,
      this.#dialling,
      this.#tcp,
      this.#udpFlows,
      this.#rules,
      this.#joined,
    ];
    for (const map of maps) map.clear();
    this.#stopped.resolve();
    if (error !== undefined)
      this.onFailure?.(new QuicError('ERR_INTERNAL', `the QUIC thread ended: ${error}`));
  }
}

function connectError(info: CloseInfo): QuicError {
  const options = info.code === undefined ? {} : { quicCode: info.code };
  if (info.kind === 'timeout') return new QuicError('ERR_TIMEOUT', 'the handshake timed out', options);
  const what = info.kind === 'tls' ? 'the handshake failed' : 'the connection was not made';
  return new QuicError('ERR_CONNECT', `${what}: ${info.reason}`, options);
}

function nativeTls(identity: TlsIdentity | undefined, trust: TlsTrust) {
  return { ...identity, roots: trust.roots, crls: [...(trust.crls ?? [])] };
}

function nativeServer(options: ServerOptions): NativeServer {
  return {
    alpn: [...options.alpn],
    transport: transport(options.transport),
    requireClientCert: options.requireClientCert ?? true,
    retry: options.retry ?? 'under-load',
    maxHandshakes: options.maxHandshakes ?? MAX_HANDSHAKES,
    ...(options.maxHandshakesPerSource !== undefined && {
      maxHandshakesPerSource: options.maxHandshakesPerSource,
    }),
  };
}

function nativeOptions(options: EndpointOptions) {
  const { listen, server, innerServer, keys, busyPollUs, direct } = options;
  return {
    listen,
    tls: nativeTls(options.identity, options.trust),
    keys: { ...keys, retryKeys: [...(keys?.retryKeys ?? [])] },
    ...(server && { server: nativeServer(server) }),
    ...(innerServer && { innerServer: nativeServer(innerServer) }),
    ...(busyPollUs !== undefined && { busyPollUs }),
    ...(direct && {
      direct: {
        ...direct,
        refuse: [...(direct.refuse ?? [])],
        allow: [...(direct.allow ?? [])],
        leftOut: [...(direct.leftOut ?? [])],
      },
    }),
  };
}
