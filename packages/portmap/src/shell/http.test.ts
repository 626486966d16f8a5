import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import type { HttpRequest } from '../core/client.ts';
import { askHttp } from './http.ts';

const servers: (() => void)[] = [];
afterEach(() => {
  for (const close of servers.splice(0)) close();
});

test('an answer that drips is cut off when its time is up', async () => {
  const port = await listen((socket) => {
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n');
    const timer = setInterval(() => socket.write('x'), 5);
    socket.on('close', () => clearInterval(timer));
  });

  expect(await askHttp({ ...request, port, timeoutMs: 150 }, '127.0.0.1')).toEqual({
    ok: false,
    detail: 'no whole answer within 150 ms',
  });
});

test.each([
  ['that never comes', '', 'no whole answer within 150 ms'],
  ['over its limit', `HTTP/1.1 200 OK\r\n\r\n${'x'.repeat(101)}`, 'HTTP: an answer over 100 bytes'],
  ['with huge headers', `HTTP/1.1 200 OK\r\nA: ${'x'.repeat(9000)}\r\n\r\n`, 'HTTP: HPE_HEADER_OVERFLOW'],
  ['that is no HTTP', 'SSH-2.0-x\r\n', 'HTTP: HPE_INVALID_CONSTANT'],
])('an answer %s', async (_what, bytes, detail) => {
  const port = await listen((socket) => socket.write(bytes));

  expect(await askHttp({ ...request, port, timeoutMs: 150 }, '127.0.0.1')).toEqual({ ok: false, detail });
});

test('an answer that ends early', async () => {
  const port = await listen((socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc'));

  expect(await askHttp({ ...request, port }, '127.0.0.1')).toMatchObject({
    ok: false,
    detail: expect.stringMatching(/^HTTP: /),
  });
});

test('a connection that is refused', async () => {
  const port = await listen(() => {});
  servers.splice(0)[0]?.();

  expect(await askHttp({ ...request, port }, '127.0.0.1')).toEqual({
    ok: false,
    detail: 'HTTP: ECONNREFUSED',
  });
});

const request: HttpRequest = {
  method: 'GET',
  address: '127.0.0.1',
  port: 0,
  path: '/',
  headers: {},
  body: '',
  maxBytes: 100,
  timeoutMs: 5000,
};

async function listen(onConnection: (socket: Socket) => void): Promise<number> {
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.on('error', () => {}).on('data', () => {});
    onConnection(socket);
  }).listen(0, '127.0.0.1');
  servers.push(() => {
    server.close();
    for (const socket of open) socket.destroy();
  });
  await once(server, 'listening');
  const address = server.address();
  return typeof address === 'object' && address ? address.port : 0;
}
