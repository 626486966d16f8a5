import type { TcpSocket, UdpPeer } from '@ztna/quic';
import { parseAddress } from '@ztna/runtime';
import type { Association } from '../flows/udp.ts';
import { openUdp } from '../forward/start.ts';
import { asFlowError } from '../local.ts';
import { encodeReply, parseUdpHeader, REPLY, type SocksDestination } from './socks5.ts';
import type { ProxyContext } from './start.ts';
import { findTarget } from './target.ts';

/** Destinations that one association may talk to at a time. */
const MAX_DESTINATIONS = 256;
/** Associations open at a time: each holds two sockets for as long as its client likes, without a flow that counts. */
const MAX_ASSOCIATIONS = 256;

/**
 * UDP ASSOCIATE (RFC 1928 §4, §7): a UDP port for this client alone, for as long as its TCP connection lives. Datagrams
 * count only from the client's address, and from the port that it announced or, when it announced none, used first.
 */
export async function serveAssociation(
  context: ProxyContext,
  socket: TcpSocket,
  announced: SocksDestination,
): Promise<void> {
  const { agent, associations } = context;
  if (associations.open >= MAX_ASSOCIATIONS) {
    agent.observer.add('proxy_refused', 'associations');
    await socket.write(encodeReply(REPLY.generalFailure));
    return socket.close();
  }
  associations.open++;
  try {
    await associate(context, socket, announced);
  } finally {
    associations.open--;
  }
}

async function associate(
  context: ProxyContext,
  socket: TcpSocket,
  announced: SocksDestination,
): Promise<void> {
  const client = parseAddress(socket.remoteAddress)?.host ?? '';
  const relay = new Relay(context, client, announced.port);
  const listener = context.agent.endpoint.listenUdp({
    listen: udpListen(context.host, client),
    header: 'socks5',
    onPeer: (peer) => void relay.onPeer(peer),
  });
  try {
    await socket.write(encodeReply(REPLY.succeeded, parseAddress(listener.address)));
    // The client has nothing more to say here; the end of the connection ends the association.
    while ((await socket.read()) !== null);
    socket.close();
  } finally {
    listener.close();
    relay.close();
  }
}

/** A free port on the proxy's own address; on the client's family when that is any address. */
function udpListen(host: string, client: string): string {
  if (host !== '::' && host !== '0.0.0.0') return host.includes(':') ? `[${host}]:0` : `${host}:0`;
  return plain(client).includes(':') ? '[::]:0' : '0.0.0.0:0';
}

class Relay {
  readonly #context: ProxyContext;
  readonly #client: string;
  readonly #open = new Set<Association>();
  #port: number;
  #pending = 0;
  #closed = false;

  constructor(context: ProxyContext, client: string, port: number) {
    this.#context = context;
    this.#client = client;
    this.#port = port;
  }

  /** A datagram to a destination that was not seen before; it is held until bound or rejected. */
  async onPeer(peer: UdpPeer): Promise<void> {
    const { agent } = this.#context;
    const refusal = this.#refuse(peer);
    if (refusal !== undefined) {
      agent.observer.add('udp_refused', refusal);
      return peer.reject();
    }
    this.#pending++;
    try {
      await this.#relay(peer);
    } catch (error) {
      peer.reject();
      const { code, message } = asFlowError(error);
      agent.observer.add('local_flow_failed', code);
      agent.log.debug({ event: 'proxy.refused', code, reason: message }, 'UDP association: datagram refused');
    } finally {
      this.#pending--;
    }
  }

  close(): void {
    this.#closed = true;
    for (const association of this.#open) association.close();
  }

  #refuse(peer: UdpPeer): string | undefined {
    const from = parseAddress(peer.address);
    if (this.#closed) return 'closed';
    if (!from || plain(from.host) !== plain(this.#client)) return 'foreign-address';
    if (this.#port === 0) this.#port = from.port;
    if (from.port !== this.#port) return 'foreign-port';
    return this.#open.size + this.#pending >= MAX_DESTINATIONS ? 'destinations' : undefined;
  }

  async #relay(peer: UdpPeer): Promise<void> {
    const header = parseUdpHeader(peer.header);
    if (header.type !== 'done') return peer.reject();
    const target = findTarget(this.#context, 'udp', header.value);
    const opened = await openUdp(this.#context.agent, target, peer);
    if (!opened) return;
    const { association, release } = opened;
    this.#open.add(association);
    if (this.#closed) association.close();
    void association.ended.then(() => {
      this.#open.delete(association);
      release();
    });
  }
}

/** An IPv4 address that an IPv6 socket reports as the IPv4 address that it is. */
function plain(host: string): string {
  return host.replace(/^::ffff:(?=\d+\.)/i, '');
}
