import { setTimeout as sleep } from 'node:timers/promises';
import { integerParameter, type Route, sendJson } from './route.ts';

/** `/health`: always well. */
export const health: Route = {
  methods: ['GET', 'HEAD'],
  path: /^\/health$/,
  handle: ({ response }) => sendJson(response, 200, { ok: true }),
};

/** `/headers`: what arrived. */
export const headers: Route = {
  methods: ['GET'],
  path: /^\/headers$/,
  handle({ request, response }) {
    sendJson(response, 200, { method: request.method, url: request.url, headers: request.headers });
  },
};

/** `/slow?ms=M&chunks=C`: C lines spread evenly over M milliseconds, the last one at the end. */
export const slow: Route = {
  methods: ['GET'],
  path: /^\/slow$/,
  async handle({ response, url, signal }) {
    const ms = integerParameter(url, 'ms', { fallback: 1000, min: 0, max: 60_000 });
    const chunks = integerParameter(url, 'chunks', { fallback: 5, min: 1, max: 1000 });
    response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8' });
    response.flushHeaders();
    for (let i = 1; i <= chunks; i++) {
      await sleep(ms / chunks, undefined, { signal });
      response.write(`${i} of ${chunks}\n`);
    }
    response.end();
  },
};
