import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, request } from 'node:http';
import { connect } from 'node:net';
import { Writable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { serveHttp } from './http.ts';
import type { Listening } from './listen.ts';
import { bytes } from './routes/bytes.ts';
import type { Exchange } from './routes/route.ts';
import { quiet } from './testing.ts';

let server: Listening;
let base: string;
beforeAll(async () => {
  server = await serveHttp({ host: '127.0.0.1', port: 0 }, '--listen-http', quiet);
  base = `http://${server.address}`;
});
afterAll(() => server[Symbol.asyncDispose]());

describe('/bytes', () => {
  test('gives as many bytes as asked for, the same each time, others for another seed', async () => {
    const [a, b, c] = await Promise.all([
      body('/bytes/200000?seed=a'),
      body('/bytes/200000?seed=a'),
      body('/bytes/200000?seed=b'),
    ]);
    expect(a.length).toBe(200_000);
    expect(a.equals(b)).toBe(true);
    expect(a.equals(c)).toBe(false);
  });

  test('a shorter answer is the beginning of a longer one', async () => {
    const [short, long] = await Promise.all([body('/bytes/65537'), body('/bytes/131073')]);
    expect(long.subarray(0, short.length).equals(short)).toBe(true);
  });

  test('the sequence never changes between versions', async () => {
    expect((await body('/bytes/8')).toString('hex')).toBe('5523d6c23d31395b');
  });

  test.each([0, 1, 65536, 3_000_000])('tells the SHA-256 of %d bytes', async (n) => {
    const { sha256 } = await json(`/bytes/${n}/sha256`);
    expect(sha256).toBe(hash(await body(`/bytes/${n}`)));
  });

  test('a small answer carries its hash', async () => {
    const response = await fetch(`${base}/bytes/1000`);
    expect(response.headers.get('content-length')).toBe('1000');
    expect(response.headers.get('x-content-sha256')).toBe(hash(Buffer.from(await response.arrayBuffer())));
  });

  test.each(['x', '-1', '1.5', '17179869185', '1e9', '%20'])('%s is no number of bytes', async (n) => {
    expect((await fetch(`${base}/bytes/${n}`)).status).toBe(400);
  });

  test('sixteen GiB are not made faster than they are read', async () => {
    const unread = Object.assign(new Writable({ write() {} }), { setHeader() {} });
    const exchange = {
      request: { method: 'GET' },
      response: unread,
      url: new URL('/bytes/17179869184', base),
      signal: AbortSignal.any([]),
    };
    const answer = bytes.handle(exchange as unknown as Exchange);
    for (let turn = 0; turn < 200; turn++) await setImmediate();
    expect(unread.writableLength).toBeGreaterThan(0);
    expect(unread.writableLength).toBeLessThan(256 << 10);
    unread.destroy();
    await expect(answer).rejects.toThrow();
  });
});

describe('bodies', () => {
  test.each(['POST', 'PUT'])('/echo gives back the body of a %s', async (method) => {
    const sent = randomBytes(1_000_000);
    const response = await fetch(`${base}/echo`, { method, body: sent, headers: { 'content-type': 'x/y' } });
    expect(response.headers.get('content-type')).toBe('x/y');
    expect(Buffer.from(await response.arrayBuffer()).equals(sent)).toBe(true);
  });

  test('/echo answers while the request still goes on', async () => {
    const outgoing = request(`${base}/echo`, { method: 'POST' });
    outgoing.write('first');
    const [response] = await once(outgoing, 'response');
    const pieces: string[] = [];
    for await (const piece of response) {
      pieces.push(String(piece));
      outgoing.end('second');
    }
    expect(pieces).toEqual(['first', 'second']);
  });

  test('/upload counts and hashes', async () => {
    const sent = randomBytes(500_000);
    const response = await fetch(`${base}/upload`, { method: 'PUT', body: sent });
    expect(await response.json()).toEqual({ bytes: 500_000, sha256: hash(sent) });
  });

  test('an upload that breaks off harms nobody else', async () => {
    const socket = connect(Number(server.address.split(':')[1]), '127.0.0.1');
    socket.write('PUT /upload HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nabc');
    await once(socket, 'connect');
    socket.destroy();
    expect((await fetch(`${base}/health`)).status).toBe(200);
  });
});

describe('the small routes', () => {
  test('/headers shows what arrived', async () => {
    const { headers, url } = await json('/headers?a=b', { 'x-own': 'one' });
    expect(headers['x-own']).toBe('one');
    expect(url).toBe('/headers?a=b');
  });

  test('/slow sends its pieces and takes limits', async () => {
    expect(await (await fetch(`${base}/slow?ms=20&chunks=2`)).text()).toBe('1 of 2\n2 of 2\n');
    expect((await fetch(`${base}/slow?ms=60001`)).status).toBe(400);
    expect((await fetch(`${base}/slow?chunks=0`)).status).toBe(400);
  });

  test.each([
    ['/nothing', 'GET', 404],
    ['/health', 'DELETE', 405],
    ['/echo', 'GET', 405],
    ['/page.css/../x', 'GET', 404],
  ])('%s by %s is %d', async (path, method, status) => {
    expect((await fetch(base + path, { method })).status).toBe(status);
  });

  test('an address that cannot be read is 400', async () => {
    const socket = connect(Number(server.address.split(':')[1]), '127.0.0.1');
    socket.write('GET http://[ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
    const [answer] = await once(socket, 'data');
    expect(String(answer)).toMatch(/^HTTP\/1\.1 400 /);
  });
});

test('the page and all that it loads come from here', async () => {
  const response = await fetch(base);
  const html = await response.text();
  expect(response.headers.get('content-security-policy')).toContain("default-src 'none'");
  const links = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, link]) => link ?? '');
  expect(links).toEqual(['data:,', 'page.css', 'page.js']);
  for (const link of links.slice(1)) expect((await fetch(`${base}/${link}`)).status).toBe(200);
});

test('a port in use is a fault that names the option', async () => {
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const { port } = taken.address() as { port: number };
  const second = serveHttp({ host: '127.0.0.1', port }, '--listen-http', quiet);
  await expect(second).rejects.toMatchObject({
    code: 'listen-failed',
    remedy: expect.stringContaining('--listen-http'),
  });
  taken.close();
});

async function body(path: string): Promise<Buffer> {
  return Buffer.from(await (await fetch(base + path)).arrayBuffer());
}

function hash(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

// biome-ignore lint/suspicious/noExplicitAny: tests compare what came
async function json(path: string, headers: Record<string, string> = {}): Promise<any> {
  return (await fetch(base + path, { headers })).json();
}
