import { createSocket, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import type { Endpoint } from '../core/address.ts';
import type { GatewayPorts } from '../core/client.ts';

/** What arrives: a datagram, or the gateway's word that nothing listens. */
export interface SocketEvents {
  readonly onDatagram: (via: 'control' | 'search' | 'announce', bytes: Uint8Array, from: Endpoint) => void;
  readonly onUnreachable: () => void;
  readonly onError: (error: Error) => void;
}

export interface SocketOptions {
  readonly gateway: string;
  /** Bound to it, when it is given; otherwise the routing table decides. */
  readonly localAddress: string | undefined;
  readonly ports: GatewayPorts;
  /** Where a gateway announces that it restarted (RFC 6886 section 3.2.1). */
  readonly announcePort: number;
}

/** The sockets for one gateway: one connected to its port, one for searches, one for announcements. */
export class GatewaySockets {
  readonly localAddress: string;
  readonly #control: Socket;
  readonly #search: Socket | undefined;
  readonly #announce: Socket | undefined;
  readonly #events: SocketEvents;

  private constructor(
    control: Socket,
    search: Socket | undefined,
    announce: Socket | undefined,
    events: SocketEvents,
  ) {
    this.localAddress = control.address().address;
    this.#control = control;
    this.#search = search;
    this.#announce = announce;
    this.#events = events;
  }

  /** @throws Error of the system when there is no way to the gateway. */
  static async open(options: SocketOptions, events: SocketEvents): Promise<GatewaySockets> {
    const { gateway, localAddress, ports, announcePort } = options;
    const control = createSocket(isIPv6(gateway) ? 'udp6' : 'udp4');
    try {
      await bound(control, 0, localAddress);
      await connected(control, ports.control, gateway);
      listen(control, 'control', events);
      if (isIPv6(gateway)) return new GatewaySockets(control, undefined, undefined, events);
      const own = control.address().address;
      return new GatewaySockets(
        control,
        await openSearch(own, events),
        await openAnnounce(announcePort, own, events),
        events,
      );
    } catch (error) {
      control.close();
      throw error;
    }
  }

  send(via: 'control' | 'search', to: Endpoint, bytes: Uint8Array): void {
    const onSent = (error: Error | null) => {
      if (error) report(error, via, this.#events);
    };
    try {
      if (via === 'control') this.#control.send(bytes, onSent);
      else this.#search?.send(bytes, to.port, to.address, onSent);
    } catch (error) {
      this.#events.onError(error as Error);
    }
  }

  close(): void {
    for (const socket of [this.#control, this.#search, this.#announce]) {
      socket?.removeAllListeners('message');
      socket?.close();
    }
  }
}

async function openSearch(own: string, events: SocketEvents): Promise<Socket | undefined> {
  const socket = createSocket('udp4');
  try {
    await bound(socket, 0, own);
    socket.setMulticastInterface(own);
    socket.setMulticastTTL(1);
    return listen(socket, 'search', events);
  } catch (error) {
    socket.close();
    events.onError(error as Error);
    return undefined;
  }
}

/** Shared with others on this machine. Without it a restart shows at the next renewal. */
async function openAnnounce(port: number, own: string, events: SocketEvents): Promise<Socket | undefined> {
  const socket = createSocket({ type: 'udp4', reuseAddr: true });
  try {
    await bound(socket, port, undefined);
    socket.addMembership('224.0.0.1', own);
    return listen(socket, 'announce', events);
  } catch (error) {
    socket.close();
    events.onError(error as Error);
    return undefined;
  }
}

function listen(socket: Socket, via: 'control' | 'search' | 'announce', events: SocketEvents): Socket {
  socket.on('message', (bytes, { address, port }) => events.onDatagram(via, bytes, { address, port }));
  socket.on('error', (error) => report(error, via, events));
  return socket;
}

function report(error: Error, via: string, events: SocketEvents): void {
  if (via === 'control' && 'code' in error && error.code === 'ECONNREFUSED') events.onUnreachable();
  else events.onError(error);
}

function bound(socket: Socket, port: number, address: string | undefined): Promise<void> {
  return settled(socket, (done) =>
    socket.bind({ port, ...(address === undefined ? {} : { address }) }, done),
  );
}

function connected(socket: Socket, port: number, address: string): Promise<void> {
  return settled(socket, (done) => socket.connect(port, address, done));
}

/** Errors come by the callback or by the event, depending on where they arise. */
function settled(socket: Socket, start: (done: (error?: Error) => void) => void): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  socket.once('error', reject);
  start((error) => (error ? reject(error) : resolve()));
  return promise.finally(() => socket.off('error', reject));
}
