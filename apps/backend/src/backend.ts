import type { Address, Logger } from '@ztna/runtime';
import { serveHttp } from './http.ts';
import { serveTcpEcho } from './tcp-echo.ts';
import { serveUdpEcho } from './udp-echo.ts';

export interface BackendSettings {
  /** Undefined: not served. */
  readonly http: Address | undefined;
  readonly tcp: Address | undefined;
  readonly udp: Address | undefined;
  readonly log: Logger;
}

/** A running backend; what is not served is undefined. */
export interface Backend extends AsyncDisposable {
  readonly http: string | undefined;
  readonly tcp: string | undefined;
  readonly udp: string | undefined;
}

/** Binds all that is wanted, or nothing. Throws `listen-failed`. */
export async function startBackend({ http, tcp, udp, log }: BackendSettings): Promise<Backend> {
  await using starting = new AsyncDisposableStack();
  const httpServer = starting.use(http && (await serveHttp(http, '--listen-http', log)));
  const tcpServer = starting.use(tcp && (await serveTcpEcho(tcp, '--listen-tcp-echo')));
  const udpServer = starting.use(udp && (await serveUdpEcho(udp, '--listen-udp-echo')));
  const started = starting.move();
  return {
    http: httpServer?.address,
    tcp: tcpServer?.address,
    udp: udpServer?.address,
    [Symbol.asyncDispose]: () => started.disposeAsync(),
  };
}
