import type { Socket as UdpSocket } from 'node:dgram';
import type { Socket } from 'node:net';
import { type Agent, type LocalProxy, startProxy } from '@ztna/agent';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { dial, endOf, exchange, parts, readAll, readExactly, udpSocket } from './support/net.ts';
import { type Stack, startStack } from './support/stack.ts';

let stack: Stack;
let agent: Agent;
let proxy: LocalProxy;

beforeAll(async () => {
  stack = await startStack();
  agent = await stack.startAgent({ proxy: { handshakeTimeoutMs: 2_000 } });
  proxy = startProxy(agent, { host: '127.0.0.1', port: 0 }, 'test');
});
afterAll(() => stack[Symbol.asyncDispose]());

describe('SOCKS5', () => {
  test('CONNECT by name, the bytes behind the request included', async () => {
    const socket = await dial(proxy.listen);
    socket.write(Uint8Array.of(5, 1, 0));
    expect([...(await readExactly(socket, 2))]).toEqual([5, 0]);
    socket.end(Buffer.concat([request(1, 'echo.ztna.internal', 7), Buffer.from('early')]));
    expect((await readExactly(socket, 10))[1]).toBe(0);
    expect((await readAll(socket)).toString()).toBe('early');
  });

  test.each([
    ['a refused backend', 'closed.ztna.internal', 1, 5],
    ['a service that is not granted', 'secret.ztna.internal', 80, 2],
    ['a port that the service has not', 'web.ztna.internal', 81, 2],
    ['a name outside of the domain', 'example.com', 80, 2],
    ['an address as a name', '127.0.0.1', 80, 2],
  ])('answers for %s', async (_, host, port, reply) => {
    const socket = await socks(1, host, port);
    expect((await readExactly(socket, 10))[1]).toBe(reply);
    expect(await endOf(socket)).toBeUndefined();
  });

  test('refuses addresses', async () => {
    const socket = await greeted();
    socket.write(Uint8Array.of(5, 1, 0, 1, 127, 0, 0, 1, 0, 80));
    expect((await readExactly(socket, 10))[1]).toBe(2);
  });

  test('refuses to do without "no authentication"', async () => {
    const socket = await dial(proxy.listen);
    socket.write(Uint8Array.of(5, 1, 2));
    expect([...(await readAll(socket))]).toEqual([5, 0xff]);
  });

  test('UDP ASSOCIATE carries datagrams until its connection ends', async () => {
    const { control, relay } = await associate();
    const client = await udpSocket();
    const datagram = Buffer.concat([
      Buffer.of(0, 0, 0),
      destination('echo.ztna.internal', 7),
      Buffer.from('hello'),
    ]);
    expect((await exchange(client, datagram, relay)).equals(datagram)).toBe(true);
    control.end();
    expect(await endOf(control)).toBeUndefined();
    client.close();
  });

  test('UDP ASSOCIATE takes nothing from another port than the first', async () => {
    const { control, relay } = await associate();
    const [client, stranger] = [await udpSocket(), await udpSocket()];
    const datagram = Buffer.concat([
      Buffer.of(0, 0, 0),
      destination('echo.ztna.internal', 7),
      Buffer.from('hi'),
    ]);
    await exchange(client, datagram, relay);
    const before = refusals();
    send(stranger, datagram, relay);
    await expect.poll(refusals, { timeout: 10_000 }).toBe(before + 1);
    for (const socket of [client, stranger]) socket.close();
    control.destroy();
  });
});

describe('HTTP', () => {
  test('CONNECT by name', async () => {
    const socket = await http('CONNECT web.ztna.internal:80 HTTP/1.1', 'Host: web.ztna.internal:80');
    socket.end('GET /health HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n');
    const text = (await readAll(socket)).toString();
    expect(text).toMatch(/^HTTP\/1\.1 200 Connection established\r\n\r\nHTTP\/1\.1 200 OK\r\n/);
  });

  test('a request for a URL', async () => {
    const socket = await http('GET http://web.ztna.internal/health HTTP/1.1', 'Host: web.ztna.internal');
    expect((await readAll(socket)).toString()).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  });

  test.each([
    ['a refused backend', 502, 'CONNECT closed.ztna.internal:1 HTTP/1.1'],
    ['a service that is not granted', 403, 'CONNECT secret.ztna.internal:80 HTTP/1.1'],
    ['a name outside of the domain', 403, 'CONNECT example.com:80 HTTP/1.1'],
    ['a request that is for the proxy itself', 501, 'GET / HTTP/1.1'],
  ])('answers for %s', async (_, status, line) => {
    const text = (await readAll(await http(line))).toString();
    expect(text).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(text.trimEnd()).toMatch(/[a-z].*$/);
  });
});

test('a client that says nothing is let go', async () => {
  const socket = await dial(proxy.listen);
  expect(await endOf(socket)).toBe('ECONNRESET');
});

test('a client of another protocol is let go', async () => {
  const socket = await dial(proxy.listen);
  socket.write(Uint8Array.of(0x16, 3, 1));
  await endOf(socket);
});

async function greeted(): Promise<Socket> {
  const socket = await dial(proxy.listen);
  socket.write(Uint8Array.of(5, 1, 0));
  await readExactly(socket, 2);
  return socket;
}

async function socks(command: number, host: string, port: number): Promise<Socket> {
  const socket = await greeted();
  socket.write(request(command, host, port));
  return socket;
}

async function associate(): Promise<{ control: Socket; relay: string }> {
  const control = await greeted();
  control.write(Uint8Array.of(5, 3, 0, 1, 0, 0, 0, 0, 0, 0));
  const reply = await readExactly(control, 10);
  expect(reply[1]).toBe(0);
  return { control, relay: `${reply.subarray(4, 8).join('.')}:${reply.readUInt16BE(8)}` };
}

function request(command: number, host: string, port: number): Buffer {
  return Buffer.concat([Buffer.of(5, command, 0), destination(host, port)]);
}

function destination(host: string, port: number): Buffer {
  return Buffer.concat([Buffer.of(3, host.length), Buffer.from(host), Buffer.of(port >> 8, port & 0xff)]);
}

async function http(...lines: string[]): Promise<Socket> {
  const socket = await dial(proxy.listen);
  socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  return socket;
}

function send(socket: UdpSocket, payload: Buffer, address: string): void {
  const { host, port } = parts(address);
  socket.send(payload, port, host);
}

function refusals(): number {
  return agent.observer.counters()['udp_refused.foreign-port'] ?? 0;
}
