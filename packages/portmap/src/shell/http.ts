import { request as httpRequest, type IncomingMessage } from 'node:http';
import type { HttpOutcome, HttpRequest } from '../core/client.ts';

const maxHeaderBytes = 8 * 1024;

/**
 * One request over a connection of its own, to exactly the address that is named: no redirects, no proxies, no
 * names. Never rejects; settles within `timeoutMs`, however slowly the bytes come.
 */
export function askHttp(request: HttpRequest, localAddress: string): Promise<HttpOutcome> {
  const { promise, resolve } = Promise.withResolvers<HttpOutcome>();
  const fail = (detail: string) => resolve({ ok: false, detail });
  const sent = httpRequest({
    host: request.address,
    port: request.port,
    path: request.path,
    method: request.method,
    headers: { ...request.headers, 'Content-Length': Buffer.byteLength(request.body) },
    localAddress,
    agent: false,
    maxHeaderSize: maxHeaderBytes,
  });
  const timer = setTimeout(() => fail(`no whole answer within ${request.timeoutMs} ms`), request.timeoutMs);
  sent.on('error', (error) => fail(`HTTP: ${codeOf(error)}`));
  sent.on('close', () => fail('HTTP: the connection was closed'));
  sent.on('response', (response) => collect(response, request.maxBytes, resolve));
  sent.end(request.body);
  return promise.finally(() => {
    clearTimeout(timer);
    sent.destroy();
  });
}

function collect(response: IncomingMessage, maxBytes: number, resolve: (outcome: HttpOutcome) => void): void {
  const chunks: Buffer[] = [];
  let size = 0;
  response.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size > maxBytes) return resolve({ ok: false, detail: `HTTP: an answer over ${maxBytes} bytes` });
    chunks.push(chunk);
  });
  response.on('error', (error) => resolve({ ok: false, detail: `HTTP: ${codeOf(error)}` }));
  response.on('end', () =>
    resolve({ ok: true, status: response.statusCode ?? 0, body: Buffer.concat(chunks) }),
  );
}

function codeOf(error: Error): string {
  return 'code' in error ? String(error.code) : error.name;
}
