import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { startBackend } from './backend.ts';
import { quiet } from './testing.ts';

const any = { host: '127.0.0.1', port: 0 };

describe('TCP echo', () => {
  test('answers on after the other side has said all, then ends', async () => {
    await using backend = await start('tcp');
    const socket = open(backend.tcp, true);
    const sent = randomBytes(1_000_000);
    socket.end(sent);
    expect((await all(socket)).equals(sent)).toBe(true);
  });

  test('keeps its side open as long as the other does', async () => {
    await using backend = await start('tcp');
    const socket = open(backend.tcp, true);
    for (const text of ['one', 'two']) {
      socket.write(text);
      const [back] = await once(socket, 'data');
      expect(String(back)).toBe(text);
    }
    expect(socket.readableEnded).toBe(false);
    socket.end();
    await all(socket);
  });

  test('a reset ends that connection alone', async () => {
    await using backend = await start('tcp');
    const broken = open(backend.tcp, true);
    broken.write('x');
    await once(broken, 'data');
    broken.resetAndDestroy();
    const socket = open(backend.tcp, true);
    socket.end('still there');
    expect(String(await all(socket))).toBe('still there');
  });
});

describe('UDP echo', () => {
  test.each([1, 1200, 8000])('sends back datagrams of %d bytes, one for one', async (size) => {
    await using backend = await start('udp');
    const socket = createSocket('udp4');
    const { port } = split(backend.udp);
    for (let i = 0; i < 20; i++) {
      const sent = randomBytes(size);
      socket.send(sent, port, '127.0.0.1');
      const [back] = await once(socket, 'message');
      expect(back.equals(sent)).toBe(true);
    }
    socket.close();
  });

  test('listens on localhost and IPv6 too', async () => {
    await using local = await startBackend({ ...none, udp: { host: 'localhost', port: 0 } });
    expect(local.udp).toMatch(/^127\.0\.0\.1:/);
    await using six = await startBackend({ ...none, udp: { host: '::1', port: 0 } });
    const socket = createSocket('udp6');
    socket.send('six', split(six.udp).port, '::1');
    const [back] = await once(socket, 'message');
    expect(String(back)).toBe('six');
    socket.close();
  });
});

describe('WebSocket echo', () => {
  test('text comes back as text, bytes as bytes, in order', async () => {
    await using backend = await start('http');
    const socket = new WebSocket(`ws://${backend.http}/ws`);
    await once(socket, 'open');
    const sent: (string | Buffer)[] = ['hello ✓', randomBytes(1_000_000), '', Buffer.from([0])];
    const received: (string | Buffer)[] = [];
    const done = new Promise<void>((resolve) => {
      socket.on('message', (data: Buffer, isBinary) => {
        received.push(isBinary ? data : data.toString());
        if (received.length === sent.length) resolve();
      });
    });
    for (const message of sent) socket.send(message);
    await done;
    expect(received).toEqual(sent);
    socket.close(1000);
    expect((await once(socket, 'close'))[0]).toBe(1000);
  });

  test('a message above 16 MiB ends that connection with 1009', async () => {
    await using backend = await start('http');
    const socket = new WebSocket(`ws://${backend.http}/ws`);
    socket.on('error', () => {});
    await once(socket, 'open');
    socket.send(Buffer.alloc((16 << 20) + 1), () => {});
    const [code] = await once(socket, 'close');
    expect([1006, 1009]).toContain(code);
    expect((await fetch(`http://${backend.http}/health`)).status).toBe(200);
  });

  test('an upgrade elsewhere is refused', async () => {
    await using backend = await start('http');
    const socket = new WebSocket(`ws://${backend.http}/other`);
    const [error] = await once(socket, 'error');
    expect(error.message).toContain('404');
  });

  test('open ones do not hold up the end', async () => {
    const backend = await start('http');
    const socket = new WebSocket(`ws://${backend.http}/ws`);
    await once(socket, 'open');
    await Promise.all([once(socket, 'close'), backend[Symbol.asyncDispose]()]);
  });
});

test('when one address is taken nothing stays bound', async () => {
  await using first = await start('tcp');
  const free = split((await startAndStop()).http);
  const failing = startBackend({ ...none, http: free, tcp: split(first.tcp) });
  await expect(failing).rejects.toMatchObject({ code: 'listen-failed' });
  await using again = await startBackend({ ...none, http: free });
  expect(again.http).toBe(`127.0.0.1:${free.port}`);
});

const none = { http: undefined, tcp: undefined, udp: undefined, log: quiet };

function start(part: 'http' | 'tcp' | 'udp') {
  return startBackend({ ...none, [part]: any });
}

async function startAndStop() {
  await using backend = await start('http');
  return { http: backend.http };
}

function split(address = ''): { host: string; port: number } {
  const at = address.lastIndexOf(':');
  return { host: address.slice(0, at), port: Number(address.slice(at + 1)) };
}

function open(address: string | undefined, allowHalfOpen: boolean): Socket {
  return connect({ ...split(address), allowHalfOpen });
}

async function all(socket: Socket): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of socket) pieces.push(piece);
  return Buffer.concat(pieces);
}
