import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Endpoint } from './index.ts';
import { connected, endpoint, joinByRules, makePki, next, prefix } from './testing.ts';

let relay: Endpoint;
let left: Endpoint;
let right: Endpoint;
const backend = createServer({ allowHalfOpen: true }, (socket) => {
  socket.on('error', () => undefined); // what is open at the end of a test
  socket.pipe(socket);
});
beforeAll(async () => {
  const pki = await makePki();
  [relay, left, right] = await Promise.all([
    endpoint(pki, 'intermediate/i'),
    endpoint(pki, 'agent/a'),
    endpoint(pki, 'connector/s/c'),
  ]);
  await once(backend.listen(0, '127.0.0.1'), 'listening');
});
afterAll(async () => {
  backend.close();
  await Promise.all([relay, left, right].map((end) => end.close()));
});

const address = () => `127.0.0.1:${(backend.address() as AddressInfo).port}`;

/** The id that comes after those round to `before` again. */
function afterRound(end: Endpoint, before: number): number {
  end.ids.last = before;
  return end.ids.next();
}

describe('ids that come round', () => {
  it('begin with the first again', () => {
    left.ids.last = 0x7fff_fffe;
    expect([left.ids.next(), left.ids.next()]).toEqual([0x7fff_ffff, 1]);
  });

  it('leave a connection alone, which goes on', async () => {
    const before = left.ids.last;
    const [old, peer] = await connected(left, relay);
    left.ids.last = before;
    const [young] = await connected(left, relay);
    expect(young.id).not.toBe(old.id);
    const got = next<Uint8Array[]>((f) => (peer.onDatagrams = f));
    old.sendDatagram(Uint8Array.of(7));
    expect((await got).map((datagram) => [...datagram])).toEqual([[7]]);
  });

  it('leave rules alone until they are removed', async () => {
    const [, a] = await connected(left, relay);
    const [, b] = await connected(right, relay);
    const before = relay.ids.last;
    const { there, back } = joinByRules(relay, a, b);
    expect(afterRound(relay, before)).toBe(before + 3);
    there.remove();
    back.remove();
    expect(afterRound(relay, before)).toBe(before + 1);
  });

  it('leave a socket alone for as long as a stream has it', async () => {
    const [a, b] = await connected(left, right);
    const joined = Promise.withResolvers<void>();
    b.onBiStream = async (stream) => {
      await stream.spliceDial({ address: address(), timeoutMs: 5_000, preamble: Uint8Array.of(1) });
      joined.resolve();
      await stream.spliceDone;
      ended.resolve();
    };
    const ended = Promise.withResolvers<void>();
    const before = right.ids.last;
    const stream = a.openBi();
    await stream.write(Uint8Array.of(2));
    await joined.promise;
    expect(afterRound(right, before)).toBe(before + 2);
    await stream.finish();
    while ((await stream.read()) !== null);
    await ended.promise;
    expect(afterRound(right, before)).toBe(before + 1);
  });

  it('leave listeners, paths, flows and sockets alone', async () => {
    const [a] = await connected(left, relay);
    const before = left.ids.last;
    const listen = '127.0.0.1:0';
    const udp = { connection: a, prefix: prefix(5), idleTimeoutMs: 10_000 };
    left.listenTcp({ listen, onConnection: () => undefined });
    left.listenUdp({ listen, onPeer: () => undefined });
    left.addVirtualPath({ carrier: a, send: prefix(3), receive: prefix(4) });
    left.dialUdp({ ...udp, address: '127.0.0.1:9' });
    await left.dialTcp({ address: address(), timeoutMs: 5_000 });
    expect(afterRound(left, before)).toBe(before + 6);
  });
});
