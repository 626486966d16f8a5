import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { pcap } from './pcap.ts';
import { Tap } from './tap.ts';
import { TcpTap } from './tcp-tap.ts';
import { type Captured, UdpTap } from './udp-tap.ts';

test('datagrams pass both ways, each client by a socket of its own, and are captured while it records', async () => {
  await using echo = await udpEcho();
  await using tap = await Tap.start();
  await tap.setTarget(echo.address);
  await using a = await udpClient(tap.address);
  await using b = await udpClient(tap.address);

  expect(await a.ask('before')).toBe('before');
  await tap.record();
  expect(await a.ask('from a')).toBe('from a');
  expect(await b.ask('from b')).toBe('from b');
  const { datagrams, truncated } = await tap.stopRecording();
  expect(await b.ask('after')).toBe('after');

  expect(datagrams.map(({ payload }) => Buffer.from(payload).toString())).toEqual([
    'from a',
    'from a',
    'from b',
    'from b',
  ]);
  expect(datagrams[0]).toMatchObject({ from: a.address, to: echo.address });
  expect(datagrams[1]).toMatchObject({ from: echo.address, to: a.address });
  expect(truncated).toBe(false);
  expect(echo.seen.size).toBe(2);
  expect(await tap.counters()).toEqual({ datagrams: 8, bytes: 2 * 'beforefrom afrom bafter'.length });
});

test('a capture that would grow too large says so and forwards on', async () => {
  await using echo = await udpEcho();
  const tap = await UdpTap.open();
  tap.setTarget(echo.address);
  await using client = await udpClient(tap.address);
  tap.record();
  const large = 'x'.repeat(60_000);
  for (let i = 0; i < 600; i++) expect(await client.ask(large)).toBe(large);
  const { datagrams, truncated } = tap.stopRecording();
  await tap.close();
  expect(truncated).toBe(true);
  expect(datagrams.length * 60_000).toBeLessThanOrEqual(64 << 20);
});

test('TCP passes both ways with half-close and is kept', async () => {
  const server = createServer({ allowHalfOpen: true }, async (socket) => {
    socket.end(`heard ${await text(socket)}`);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { address: host, port } = server.address() as AddressInfo;
  await using tap = await TcpTap.open({ host, port });
  const socket = connect({ ...tap.address, allowHalfOpen: true });
  socket.end('canary');
  expect(await text(socket)).toBe('heard canary');
  server.close();
  expect(Buffer.concat(tap.recorded).toString()).toBe('canaryheard canary');
});

test('a capture file has the bytes of pcap, IPv4 and UDP', () => {
  const captured: Captured = {
    atMs: 1_700_000_000_123,
    from: { host: '127.0.0.1', port: 5000 },
    to: { host: '127.0.0.2', port: 4433 },
    payload: Buffer.from('hello'),
  };
  expect(pcap([captured]).toString('hex')).toBe(
    [
      'd4c3b2a1020004000000000000000000ffff000065000000',
      '00f1536578e001002100000021000000',
      '45000021000000004011000' + '07f0000017f000002',
      '13881151000d0000',
      '68656c6c6f',
    ].join(''),
  );
});

async function udpEcho() {
  const seen = new Set<number>();
  const socket = createSocket('udp4');
  socket.on('message', (payload, { port, address }) => {
    seen.add(port);
    socket.send(payload, port, address);
  });
  return { ...(await bound(socket)), seen };
}

async function udpClient(to: { host: string; port: number }) {
  const socket = createSocket('udp4');
  const { address, ...rest } = await bound(socket);
  const send = (text: string) =>
    new Promise<void>((resolve) => socket.send(text, to.port, to.host, () => resolve()));
  return {
    address,
    ...rest,
    send,
    async ask(text: string): Promise<string> {
      const answer = once(socket, 'message');
      await send(text);
      return String((await answer)[0]);
    },
  };
}

async function bound(socket: ReturnType<typeof createSocket>) {
  const listening = once(socket, 'listening');
  socket.bind(0, '127.0.0.1');
  await listening;
  const { address: host, port } = socket.address();
  return { address: { host, port }, [Symbol.asyncDispose]: async () => void socket.close() };
}
