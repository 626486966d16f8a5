import { ALPN } from '@ztna/wire';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Arena, startArena } from './support/arena.ts';
import { endpointOf } from './support/peer.ts';

const PER_SECOND = 20;

let arena: Arena;
beforeAll(async () => {
  arena = await startArena({ intermediate: { limits: { handshakesPerSecondPerSource: PER_SECOND } } });
});
afterAll(() => arena[Symbol.asyncDispose]());

test('a source that floods with handshakes is refused and counted, and keeps no other out', async () => {
  const limited = () => arena.metric('intermediate', 'ztna_quic_drops', 'handshakes_limited');
  // Another address of loopback, so that it is another source than those that behave.
  await using flooder = endpointOf(undefined, arena.mallory.files.trust.bundleFile, '127.0.0.2:0');
  const connect = () => flooder.connect({ remote: arena.target, alpn: [ALPN.CONTROL] });
  const attempts = Array.from({ length: 400 }, () =>
    connect().then(
      (c) => c.closed,
      (error) => error,
    ),
  );
  await expect.poll(limited).toBeGreaterThan(100);
  const newcomer = arena.agentOf(arena.mallory);
  expect(await newcomer.flow('echo', 'tcp')).toMatchObject({ ok: true });
  await arena.unharmed();
  await Promise.all(attempts);
  expect(await arena.metric('intermediate', 'ztna_quic_drops', 'handshakes_refused')).toBe(0);
});
