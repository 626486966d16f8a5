import { encodeFragment, type RelayId, relayPrefix, type ServiceName } from '@ztna/wire';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Arena, startArena } from './support/arena.ts';
import { HostilePeer } from './support/peer.ts';

let arena: Arena;
let peer: HostilePeer;
let own: RelayId;
beforeAll(async () => {
  arena = await startArena();
  peer = await HostilePeer.greeted(arena.mallory, arena.target);
  own = (await session()).relayId;
});
afterAll(async () => {
  await peer[Symbol.asyncDispose]();
  await arena[Symbol.asyncDispose]();
});

// Datagrams may be lost on the way: counts below are of half of them.
const ids = Array.from({ length: 200 }, (_, i) => (i + 1) as RelayId);
const whole = (id: RelayId, payload: Uint8Array) => Buffer.concat([relayPrefix(id).whole, payload]);

test('datagrams with ids of nobody, of others and of closed sessions go nowhere', async () => {
  const forwarded = () => arena.metric('intermediate', 'ztna_relay_datagrams');
  const closed = await session();
  peer.send({ type: 'closeSession', sessionUid: closed.sessionUid });
  await expect.poll(() => arena.stack.intermediate.stats().sessions).toBe(2);
  await arena.unharmed();
  const [before, unclaimedBefore] = [await forwarded(), await unclaimed()];
  for (const id of ids) if (id !== own) peer.connection.sendDatagram(whole(id, Buffer.alloc(200, id)));
  await expect.poll(unclaimed).toBeGreaterThan(unclaimedBefore + ids.length / 2);
  // The honest flow may have sent an acknowledgement or two meanwhile.
  expect((await forwarded()) - before).toBeLessThan(20);
  await arena.unharmed();
});

test('datagrams that are no frames at all harm nobody', async () => {
  const before = await unclaimed();
  const shapes = [
    [],
    [0x2e],
    [0x2d],
    [0x2e, 0xff],
    [0x2d, 1, 0],
    [0x30, 1, 2],
    [0x45, 0, 0, 20],
    [0xff, 0xff],
  ];
  for (const shape of shapes) peer.connection.sendDatagram(Uint8Array.from(shape));
  for (let size = 1; size < 200; size++) peer.connection.sendDatagram(noise(size, size));
  peer.connection.sendDatagram(noise(peer.connection.maxDatagramSize, 1));
  expect(peer.connection.sendDatagram(noise(peer.connection.maxDatagramSize + 1, 1))).toBe(false);
  await expect.poll(unclaimed).toBeGreaterThan(before + 100);
  await arena.unharmed();
});

test('an own session takes any bytes: what is no QUIC packet is dropped at the connector, pieces are counted', async () => {
  const dropped = () => arena.metric('connector', 'ztna_quic_drops', 'virtual_reassembly');
  const before = await dropped();
  for (let i = 0; i < 300; i++) peer.connection.sendDatagram(whole(own, noise(50 + i, i)));
  for (let i = 0; i < 300; i++) {
    const fragment = { packetId: i % 3, index: i % 128, last: i % 5 === 0, bytes: noise(1 + (i % 90), i) };
    peer.connection.sendDatagram(encodeFragment(relayPrefix(own), fragment));
  }
  await expect.poll(dropped).toBeGreaterThan(before);
  await arena.unharmed();
  expect(peer.connection.isClosed).toBe(false);
});

test('a flood of datagrams that nobody takes does not hold up the broker', async () => {
  const started = performance.now();
  let sent = 0;
  while (sent < 60_000) {
    for (let i = 0; i < 500; i++, sent++)
      peer.connection.sendDatagram(whole(ids[199] as RelayId, noise(60, i)));
    await new Promise((resolve) => setImmediate(resolve));
  }
  const another = arena.agentOf(arena.mallory);
  expect(await another.flow('echo', 'tcp')).toMatchObject({ ok: true });
  await arena.unharmed();
  expect(performance.now() - started).toBeLessThan(20_000);
});

/** Opens a session for echo, of which no inner connection ever comes. */
async function session() {
  peer.send({ type: 'openSession', requestId: 1, service: 'echo' as ServiceName, excludeConnectors: [] });
  return peer.next('sessionOffer');
}

function unclaimed(): Promise<number> {
  return arena.metric('intermediate', 'ztna_relay_unclaimed_datagrams_total');
}

function noise(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + seed * 17) & 0xff);
}
