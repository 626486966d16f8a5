import { QuicError, type TcpSocket } from '@ztna/quic';
import type { Address } from '@ztna/runtime';
import { parseAddress } from '@ztna/runtime';
import type { Agent } from '../agent.ts';
import { listenLocal } from '../local.ts';
import { HandshakeReader } from './reader.ts';
import { serveHttp } from './serve-http.ts';
import { serveSocks } from './serve-socks.ts';
import { SOCKS_VERSION } from './socks5.ts';

export interface LocalProxy extends Disposable {
  /** Bound address. */
  readonly listen: string;
}

/** What serving one client needs. */
export interface ProxyContext {
  readonly agent: Agent;
  /** `ztna.internal` */
  readonly domain: string;
  /** Address that the proxy listens on; UDP associations listen there too. */
  readonly host: string;
  /** UDP associations that are open. */
  readonly associations: { open: number };
}

/** SOCKS5 and HTTP CONNECT on one port; the first byte decides. Throws RuntimeFault `listen-failed`. */
export function startProxy(agent: Agent, address: Address, setting: string): LocalProxy {
  const { handshakeTimeoutMs, handshakes: maxHandshakes, domain } = agent.config.proxy;
  let handshakes = 0;
  const associations = { open: 0 };
  const context = (): ProxyContext => ({
    ...{ agent, domain, associations },
    host: parseAddress(listener.address)?.host ?? '',
  });

  const onConnection = (socket: TcpSocket) => {
    if (handshakes >= maxHandshakes) {
      agent.observer.add('proxy_refused', 'handshakes');
      return socket.reset();
    }
    handshakes++;
    let counted = true;
    const timer = setTimeout(() => {
      agent.observer.add('proxy_refused', 'handshake-timeout');
      socket.reset();
    }, handshakeTimeoutMs);
    const handshakeOver = () => {
      clearTimeout(timer);
      if (counted) handshakes--;
      counted = false;
    };
    serve(context(), socket, handshakeOver)
      .catch((error: unknown) => {
        socket.reset();
        // A client that went away says so by an error of its socket; all else is a bug.
        if (error instanceof QuicError) agent.observer.add('proxy_client_lost', error.code);
        else
          agent.log.error(
            { event: 'proxy.failed', err: error },
            'serving a proxy client failed: this is a bug',
          );
      })
      .finally(handshakeOver);
  };
  const listener = listenLocal(address, setting, agent.log, (listen) =>
    agent.endpoint.listenTcp({ listen, onConnection }),
  );
  const shown = { kind: 'proxy', listen: listener.address, transport: 'tcp' } as const;
  agent.listeners.add(shown);
  return {
    listen: listener.address,
    [Symbol.dispose]() {
      agent.listeners.delete(shown);
      listener.close();
    },
  };
}

async function serve(context: ProxyContext, socket: TcpSocket, handshakeOver: () => void): Promise<void> {
  const reader = new HandshakeReader(socket);
  const first = await reader.peek();
  if (first === SOCKS_VERSION) return serveSocks(context, socket, reader, handshakeOver);
  if (first !== undefined && isLetter(first)) return serveHttp(context, socket, reader, handshakeOver);
  context.agent.observer.add('proxy_refused', 'unknown-protocol');
  if (first !== undefined)
    context.agent.log.debug({ event: 'proxy.refused', first }, 'neither SOCKS5 nor HTTP: refused');
  socket.close();
}

function isLetter(byte: number): boolean {
  return (byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a);
}
