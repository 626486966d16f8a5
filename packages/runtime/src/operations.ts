import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Registry } from 'prom-client';
import { type Address, formatAddress } from './address.ts';
import { listenFault } from './faults.ts';

/** Whether the component can do its work now; if not, why. */
export interface Readiness {
  readonly ready: boolean;
  readonly reasons: readonly string[];
  /** What is wrong although it can do its work; shown, and no reason for a 503. */
  readonly notes?: readonly string[];
}

export interface OperationsSettings {
  readonly listen: Address;
  /** What chose the address, for errors: `metrics.listen`. */
  readonly setting: string;
  readonly registry: Registry;
  readonly readiness: () => Readiness;
  /** Tests: a connection on which nothing moves for so long is closed. */
  readonly silenceMs?: number;
}

export interface OperationsServer extends AsyncDisposable {
  /** The bound address, `127.0.0.1:9090`. */
  readonly address: string;
  close(): Promise<void>;
}

/**
 * Serves `/healthz` (the process runs), `/readyz` (503 with reasons when it cannot do its work) and `/metrics`
 * (Prometheus text). At most 64 connections, 10 s per request, as long for a client that does not read, GET and HEAD
 * alone. Throws a `listen-failed`.
 */
export async function serveOperations(settings: OperationsSettings): Promise<OperationsServer> {
  const server = createServer({ headersTimeout: 5000, requestTimeout: 10_000, keepAliveTimeout: 5000 });
  server.timeout = settings.silenceMs ?? 10_000;
  server.maxConnections = 64;
  server.maxHeadersCount = 64;
  server.on('request', (request, response) => {
    answer(request, response, settings).catch(() => {
      if (response.headersSent) response.destroy();
      else send(response, 500, 'the metrics could not be collected\n');
    });
  });
  server.listen(settings.listen.port, settings.listen.host);
  try {
    await once(server, 'listening');
  } catch (cause) {
    throw listenFault(formatAddress(settings.listen), settings.setting, cause);
  }
  const bound = server.address();
  const port = typeof bound === 'object' && bound ? bound.port : settings.listen.port;
  const close = async () => {
    if (!server.listening) return;
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
  };
  return {
    address: formatAddress({ host: settings.listen.host, port }),
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  { registry, readiness }: OperationsSettings,
) {
  request.resume();
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD');
    return send(response, 405, 'GET or HEAD only\n');
  }
  switch (request.url?.split('?')[0]) {
    case '/healthz':
      return send(response, 200, 'ok\n');
    case '/readyz': {
      const { ready, reasons, notes = [] } = readiness();
      const lines = [ready ? 'ready' : 'not ready', ...reasons, ...notes];
      return send(response, ready ? 200 : 503, `${lines.join('\n')}\n`);
    }
    case '/metrics':
      return send(response, 200, await registry.metrics(), registry.contentType);
    default:
      return send(response, 404, 'there are /healthz, /readyz and /metrics\n');
  }
}

function send(
  response: ServerResponse,
  status: number,
  body: string,
  type = 'text/plain; charset=utf-8',
): void {
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  });
  response.end(body);
}
