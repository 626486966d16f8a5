import { randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { beforeAll, describe, expect, it } from 'vitest';
import type { FramePrefix, UdpFlowEnd, UdpPeer } from './index.ts';
import { makePki, relayed, type TestPki } from './testing.ts';

let pki: TestPki;
beforeAll(async () => {
  pki = await makePki();
});

const FLOW: FramePrefix = { whole: Uint8Array.of(0x30, 1), fragment: Uint8Array.of(0x31, 1) };

async function udpSocket(onMessage?: (socket: Socket, data: Buffer, port: number) => void): Promise<Socket> {
  const socket = createSocket('udp4');
  socket.on('message', (data, from) => onMessage?.(socket, data, from.port));
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return socket;
}

/** A local program, a flow over a relay, an echo. */
async function association(header: 'none' | 'socks5' = 'none', idleTimeoutMs = 30_000) {
  const echo = await udpSocket((socket, data, port) => socket.send(data, port, '127.0.0.1'));
  const program = await udpSocket();
  const r = await relayed(pki);
  const [a, c] = r.inner;
  const ended: Promise<UdpFlowEnd>[] = [];
  const options = { prefix: FLOW, idleTimeoutMs };
  const address = `127.0.0.1:${echo.address().port}`;
  ended.push(r.connector.dialUdp({ ...options, connection: c, address }).closed);
  const peers: UdpPeer[] = [];
  const listener = r.agent.listenUdp({
    listen: '127.0.0.1:0',
    header,
    onPeer: (peer) => {
      peers.push(peer);
      ended.push(peer.bind({ ...options, connection: a }).closed);
    },
  });
  const port = Number(listener.address.split(':')[1]);
  const send = (data: Uint8Array) => program.send(data, port, '127.0.0.1');
  const receive = async () => (await once(program, 'message'))[0] as Buffer;
  const dispose = async () => {
    echo.close();
    program.close();
    await r[Symbol.asyncDispose]();
  };
  return { r, send, receive, peers, ended, [Symbol.asyncDispose]: dispose };
}

describe('a UDP flow', () => {
  for (const size of [0, 1, 1_100, 1_200, 1_472, 9_000, 60_000]) {
    it(`brings ${size} bytes there and back`, async () => {
      await using f = await association();
      const data = randomBytes(size);
      f.send(data);
      expect((await f.receive()).equals(data)).toBe(true);
    });
  }

  it('asks its owner once per peer and keeps the first datagrams', async () => {
    await using f = await association();
    const answers = [f.receive()];
    for (const word of ['a', 'b', 'c']) f.send(Buffer.from(word));
    await Promise.all(answers);
    expect(f.peers.length).toBe(1);
  });

  it('ends on both sides when nothing passes', async () => {
    await using f = await association('none', 200);
    f.send(Buffer.from('x'));
    await f.receive();
    const ends = await Promise.all(f.ended);
    expect(ends.map((e) => e.reason)).toEqual(['idle', 'idle']);
    expect(ends.map((e) => e.stats)).toEqual([
      { sent: 1, sentBytes: 1, received: 1, receivedBytes: 1, dropped: 0 },
      { sent: 1, sentBytes: 1, received: 1, receivedBytes: 1, dropped: 0 },
    ]);
  });

  it('takes the SOCKS5 header off and puts it back on', async () => {
    await using f = await association('socks5');
    const header = Buffer.concat([Buffer.from([0, 0, 0, 3, 3]), Buffer.from('web'), Buffer.from([0, 53])]);
    f.send(Buffer.concat([header, Buffer.from('hello')]));
    const answer = await f.receive();
    expect(answer.subarray(0, header.length).equals(header)).toBe(true);
    expect(answer.subarray(header.length).toString()).toBe('hello');
    expect(Buffer.from(f.peers[0]?.header ?? []).equals(header)).toBe(true);
  });

  it('ends when the session ends', async () => {
    await using f = await association();
    f.send(Buffer.from('x'));
    await f.receive();
    f.r.inner[0].close();
    expect((await Promise.all(f.ended)).map((e) => e.reason)).toEqual(['closed', 'closed']);
  });
});
