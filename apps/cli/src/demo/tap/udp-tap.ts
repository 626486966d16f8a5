import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';

/** One datagram as it passed. */
export interface Captured {
  /** Milliseconds since the epoch. */
  readonly atMs: number;
  readonly from: Endpoint;
  readonly to: Endpoint;
  readonly payload: Uint8Array;
}

/** IPv4 address and port. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

export interface Capture {
  readonly datagrams: readonly Captured[];
  /** There were more than the capture may hold: it proves nothing then. */
  readonly truncated: boolean;
}

/** What passed since the start, both directions, UDP payload alone. */
export interface TapCounters {
  readonly datagrams: number;
  readonly bytes: number;
}

/** Wished for; the kernel gives what it allows. */
const bufferBytes = 4 << 20;
const maxClients = 64;
const maxCapturedBytes = 64 << 20;

/**
 * A UDP forwarder in front of one target, like a NAT with a socket of its own for each client. While it records,
 * it keeps every datagram of both directions: a packet capture at the target that needs no privileges.
 */
export class UdpTap {
  readonly #front: Socket;
  readonly #clients = new Map<string, Promise<Socket>>();
  #target: Endpoint | undefined;
  #recorded: Captured[] | undefined;
  #recordedBytes = 0;
  #truncated = false;
  #datagrams = 0;
  #bytes = 0;

  private constructor(front: Socket) {
    this.#front = front;
    front.on('message', (payload, { address, port }) => {
      const target = this.#target;
      if (!target) return;
      const from = { host: address, port };
      this.#see(from, target, payload);
      void this.#clientSocket(from, target)?.then((socket) => socket.send(payload, ignoreLoss));
    });
  }

  /** Binds a free port of 127.0.0.1. Until there is a target, datagrams are dropped. */
  static async open(): Promise<UdpTap> {
    const front = await bind();
    return new UdpTap(front);
  }

  get address(): Endpoint {
    const { address, port } = this.#front.address();
    return { host: address, port };
  }

  get counters(): TapCounters {
    return { datagrams: this.#datagrams, bytes: this.#bytes };
  }

  /** Where datagrams go from now on. */
  setTarget(target: Endpoint): void {
    this.#target = target;
  }

  /** Starts a capture, forgetting the last one. */
  record(): void {
    this.#recorded = [];
    this.#recordedBytes = 0;
    this.#truncated = false;
  }

  /** Ends the capture and gives it. */
  stopRecording(): Capture {
    const capture = { datagrams: this.#recorded ?? [], truncated: this.#truncated };
    this.#recorded = undefined;
    return capture;
  }

  async close(): Promise<void> {
    const sockets = await Promise.allSettled(this.#clients.values());
    for (const opened of sockets) if (opened.status === 'fulfilled') opened.value.close();
    this.#front.close();
  }

  #clientSocket(client: Endpoint, target: Endpoint): Promise<Socket> | undefined {
    const key = `${client.host}:${client.port}`;
    const known = this.#clients.get(key);
    if (known || this.#clients.size >= maxClients) return known;
    const opened = this.#open(client, target);
    this.#clients.set(key, opened);
    return opened;
  }

  async #open(client: Endpoint, target: Endpoint): Promise<Socket> {
    const socket = await bind();
    socket.connect(target.port, target.host);
    await once(socket, 'connect');
    socket.on('message', (payload) => {
      this.#see(target, client, payload);
      this.#front.send(payload, client.port, client.host, ignoreLoss);
    });
    return socket;
  }

  #see(from: Endpoint, to: Endpoint, payload: Buffer): void {
    this.#datagrams++;
    this.#bytes += payload.length;
    if (!this.#recorded) return;
    if (this.#recordedBytes + payload.length > maxCapturedBytes) {
      this.#truncated = true;
      return;
    }
    this.#recordedBytes += payload.length;
    this.#recorded.push({ atMs: Date.now(), from, to, payload: Uint8Array.from(payload) });
  }
}

async function bind(): Promise<Socket> {
  // Everything is an IPv4 address here: no resolver is asked for each datagram.
  const socket = createSocket({ type: 'udp4', lookup: (host, _, callback) => callback(null, host, 4) });
  const listening = once(socket, 'listening');
  socket.bind(0, '127.0.0.1');
  await listening;
  // An unreachable target answers by ICMP; for a forwarder that is loss.
  socket.on('error', () => {});
  try {
    socket.setRecvBufferSize(bufferBytes);
    socket.setSendBufferSize(bufferBytes);
  } catch {
    // The default must do.
  }
  return socket;
}

function ignoreLoss(): void {}
