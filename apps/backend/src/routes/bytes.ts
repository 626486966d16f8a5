import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { maxBytes, pseudoRandom, pseudoRandomSha256 } from '../bytes-stream.ts';
import { BadRequest, type Exchange, integer, type Route, sendJson } from './route.ts';

/** Up to this size the answer carries its own hash in a header. */
const cheapBytes = 1 << 20;

/** `/bytes/N?seed=S`: N bytes that depend on S alone. */
export const bytes: Route = {
  methods: ['GET', 'HEAD'],
  path: /^\/bytes\/[^/]+$/,
  async handle({ request, response, url, signal }) {
    const { length, seed } = read(url);
    response.setHeader('content-type', 'application/octet-stream');
    response.setHeader('content-length', length);
    if (length <= cheapBytes) {
      response.setHeader('x-content-sha256', await pseudoRandomSha256(length, seed, signal));
    }
    if (request.method === 'HEAD') response.end();
    else await pipeline(Readable.from(pseudoRandom(length, seed)), response);
  },
};

/** `/bytes/N/sha256?seed=S`: what the SHA-256 of those bytes must be. */
export const bytesSha256: Route = {
  methods: ['GET'],
  path: /^\/bytes\/[^/]+\/sha256$/,
  async handle({ response, url, signal }: Exchange) {
    const { length, seed } = read(url);
    sendJson(response, 200, { bytes: length, seed, sha256: await pseudoRandomSha256(length, seed, signal) });
  },
};

function read(url: URL): { length: number; seed: string } {
  const length = integer('the number of bytes', url.pathname.split('/')[2] ?? '', 0, maxBytes);
  const seed = url.searchParams.get('seed') ?? 'ztna';
  if (seed.length > 128) throw new BadRequest('seed must have at most 128 characters');
  return { length, seed };
}
