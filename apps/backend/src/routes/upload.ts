import { createHash } from 'node:crypto';
import { pipeline } from 'node:stream/promises';
import { type Route, sendJson } from './route.ts';

/** `/echo`: the body comes back as it goes in, of whatever length. */
export const echo: Route = {
  methods: ['POST', 'PUT'],
  path: /^\/echo$/,
  async handle({ request, response }) {
    response.setHeader('content-type', request.headers['content-type'] ?? 'application/octet-stream');
    const length = request.headers['content-length'];
    if (length !== undefined) response.setHeader('content-length', length);
    response.flushHeaders();
    await pipeline(request, response);
  },
};

/** `/upload`: answers with the number of bytes and their SHA-256. */
export const upload: Route = {
  methods: ['PUT', 'POST'],
  path: /^\/upload$/,
  async handle({ request, response }) {
    const hash = createHash('sha256');
    let length = 0;
    for await (const piece of request as AsyncIterable<Buffer>) {
      hash.update(piece);
      length += piece.length;
    }
    sendJson(response, 200, { bytes: length, sha256: hash.digest('hex') });
  },
};
