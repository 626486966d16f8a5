import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Address, Logger } from '@ztna/runtime';
import { type Listening, listen } from './listen.ts';
import { bytes, bytesSha256 } from './routes/bytes.ts';
import { page } from './routes/page.ts';
import { BadRequest, type Route, sendText } from './routes/route.ts';
import { headers, health, slow } from './routes/small.ts';
import { echo, upload } from './routes/upload.ts';
import { acceptWebSockets } from './websocket.ts';

const routes: readonly Route[] = [page, health, headers, slow, bytes, bytesSha256, echo, upload];
const idleTimeoutMs = 120_000;

/** Serves the HTTP routes, the page and WebSocket echo at `/ws`. Throws `listen-failed`. */
export async function serveHttp(address: Address, option: string, log: Logger): Promise<Listening> {
  const server = createServer({ headersTimeout: 15_000, requestTimeout: 0, keepAliveTimeout: 60_000 });
  server.maxConnections = 4096;
  server.timeout = idleTimeoutMs;
  server.on('request', (request, response) => void handle(request, response, log));
  server.on('checkContinue', (request, response) => {
    response.writeContinue();
    void handle(request, response, log);
  });
  const sockets = acceptWebSockets(server);
  const at = await listen(server, address, option);
  return {
    address: at,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      sockets.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

async function handle(request: IncomingMessage, response: ServerResponse, log: Logger): Promise<void> {
  const controller = new AbortController();
  response.on('close', () => controller.abort());
  response.setHeader('cache-control', 'no-store');
  response.setHeader('x-content-type-options', 'nosniff');
  try {
    const url = readUrl(request);
    const matching = routes.filter((r) => r.path.test(url.pathname));
    const route = matching.find((r) => r.methods.includes(request.method ?? ''));
    if (route) await route.handle({ request, response, url, signal: controller.signal });
    else refuse(response, matching, url);
  } catch (error) {
    if (error instanceof BadRequest) return sendText(response, 400, `${error.message}\n`);
    // The other side went away; there is nobody to answer.
    if (controller.signal.aborted || response.destroyed) return;
    log.error({ event: 'request.failed', err: error, path: request.url }, 'request failed');
    if (response.headersSent) response.destroy();
    else sendText(response, 500, 'the backend failed; its log says why\n');
  }
}

function readUrl(request: IncomingMessage): URL {
  const url = URL.parse(request.url ?? '/', 'http://backend');
  if (!url) throw new BadRequest('the address cannot be read');
  return url;
}

function refuse(response: ServerResponse, matching: readonly Route[], { pathname }: URL): void {
  // A body that nobody reads must not keep the connection busy.
  response.setHeader('connection', 'close');
  if (matching.length === 0) {
    sendText(response, 404, `there is no ${pathname}; / shows what there is\n`);
    return;
  }
  const methods = matching.flatMap((r) => r.methods).join(', ');
  response.setHeader('allow', methods);
  sendText(response, 405, `${pathname} takes ${methods}\n`);
}
