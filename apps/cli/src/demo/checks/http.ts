import { createHash, randomUUID } from 'node:crypto';
import { Agent, type ClientRequest, type IncomingMessage, type RequestOptions, request } from 'node:http';
import { Readable } from 'node:stream';
import { buffer, json } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import type { Address } from '@ztna/runtime';
import { pseudoRandomPieces } from './bytes.ts';
import { type Check, hold } from './check.ts';

const transferBytes = 64 << 20;
const parallel = 200;

export const httpGet: Check = {
  name: 'http-get',
  title: 'HTTP GET',
  timeoutMs: 30_000,
  async run({ http, signal }) {
    const response = await get(http, '/', signal);
    const body = await buffer(response);
    hold(response.statusCode === 200, `the backend answered ${response.statusCode} instead of 200`);
    const type = response.headers['content-type'] ?? 'no content type';
    hold(type.startsWith('text/html') && body.includes('</html>'), `the page is ${type}, not a whole page`);
    return { detail: `200, ${type}, ${body.length} bytes`, bytes: body.length };
  },
};

export const download: Check = {
  name: 'download',
  title: '64 MiB download, compared by SHA-256',
  timeoutMs: 90_000,
  async run({ http, signal }) {
    const path = `/bytes/${transferBytes}`;
    const seed = randomUUID();
    const started = performance.now();
    const response = await get(http, `${path}?seed=${seed}`, signal);
    hold(response.statusCode === 200, `the backend answered ${response.statusCode} instead of 200`);
    const hash = createHash('sha256');
    let bytes = 0;
    for await (const piece of response as AsyncIterable<Buffer>) {
      hash.update(piece);
      bytes += piece.length;
    }
    const rate = rateOf(bytes, performance.now() - started);
    hold(bytes === transferBytes, `${bytes} bytes arrived instead of ${transferBytes}`);
    const told = (await json(await get(http, `${path}/sha256?seed=${seed}`, signal))) as { sha256?: string };
    const sha256 = hash.digest('hex');
    hold(sha256 === told.sha256, `SHA-256 is ${sha256} here and ${told.sha256} at the backend`);
    return { detail: `${rate}, SHA-256 ${sha256.slice(0, 16)}… at both ends`, bytes };
  },
};

export const upload: Check = {
  name: 'upload',
  title: '64 MiB upload, compared by SHA-256',
  timeoutMs: 90_000,
  async run({ http, signal }) {
    const hash = createHash('sha256');
    const headers = { 'content-length': transferBytes };
    const outgoing = request(options(http, '/upload', { method: 'PUT', headers, signal }));
    const answered = responseOf(outgoing);
    const started = performance.now();
    const pieces = pseudoRandomPieces(transferBytes, (piece) => hash.update(piece));
    const [response] = await Promise.all([answered, pipeline(Readable.from(pieces), outgoing)]);
    const told = (await json(response)) as { bytes?: number; sha256?: string };
    const rate = rateOf(transferBytes, performance.now() - started);
    const sha256 = hash.digest('hex');
    hold(told.bytes === transferBytes, `${told.bytes} bytes arrived instead of ${transferBytes}`);
    hold(sha256 === told.sha256, `SHA-256 is ${sha256} here and ${told.sha256} at the backend`);
    return { detail: `${rate}, SHA-256 ${sha256.slice(0, 16)}… at both ends`, bytes: transferBytes };
  },
};

/** All connections are open, each with its request half sent, before any is answered. */
export const parallelHttp: Check = {
  name: 'parallel-http',
  title: `${parallel} parallel HTTP requests`,
  timeoutMs: 60_000,
  async run({ http, signal }) {
    const length = 4096;
    const requests = Array.from({ length: parallel }, () => {
      const seed = randomUUID();
      const headers = { expect: '100-continue', 'content-length': length };
      const outgoing = request(options(http, `/echo?${seed}`, { method: 'POST', headers, signal }));
      outgoing.flushHeaders();
      const body = Buffer.from(seed.repeat(Math.ceil(length / seed.length)).slice(0, length));
      return { outgoing, body, response: responseOf(outgoing), open: continued(outgoing) };
    });
    await Promise.all(requests.map(({ open }) => open));
    const answers = await Promise.all(
      requests.map(async ({ outgoing, body, response }) => {
        outgoing.end(body);
        const answer = await response;
        return answer.statusCode === 200 && (await buffer(answer)).equals(body);
      }),
    );
    const right = answers.filter(Boolean).length;
    hold(right === parallel, `${right} of ${parallel} were answered rightly`);
    return { detail: `${parallel} open at once, each answered with its own bytes`, bytes: parallel * length };
  },
};

/** A GET on a connection of its own. */
export function get(to: Address, path: string, signal: AbortSignal): Promise<IncomingMessage> {
  const outgoing = request(options(to, path, { signal }));
  const response = responseOf(outgoing);
  outgoing.end();
  return response;
}

function options({ host, port }: Address, path: string, more: RequestOptions): RequestOptions {
  return { host, port, path, agent: new Agent({ keepAlive: false }), ...more };
}

function responseOf(outgoing: ClientRequest): Promise<IncomingMessage> {
  const response = new Promise<IncomingMessage>((resolve, reject) => {
    outgoing.on('response', resolve);
    outgoing.on('error', reject);
  });
  // Whoever waits for it is told; nobody may be waiting yet.
  response.catch(() => {});
  return response;
}

function continued(outgoing: ClientRequest): Promise<void> {
  return new Promise((resolve, reject) => {
    outgoing.on('continue', resolve);
    outgoing.on('error', reject);
    outgoing.on('response', () => reject(new Error('answered before the request was complete')));
  });
}

function rateOf(bytes: number, ms: number): string {
  return `${Math.round(bytes / 2 ** 20 / (ms / 1000))} MiB/s`;
}
