import type { Connection } from '@ztna/quic';
import { relayPrefix, type ServiceName, type SessionOffer } from '@ztna/wire';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Arena, startArena } from './support/arena.ts';
import { HostilePeer } from './support/peer.ts';

const OPEN_TIMEOUT_MS = 1_000;
const spare = 'spare' as ServiceName;
const target = { service: spare, transport: 'tcp', port: 7 } as const;

let arena: Arena;
let evil: HostilePeer;
beforeEach(async () => {
  arena = await startArena({ agent: { openTimeoutMs: OPEN_TIMEOUT_MS } });
  evil = await HostilePeer.greeted(arena.evil, arena.target);
  evil.send({ type: 'register', services: [spare], capacity: 0, labels: new Map() });
  await evil.next('registered');
});
afterEach(async () => {
  await evil[Symbol.asyncDispose]();
  await arena[Symbol.asyncDispose]();
});

test('a connector that never answers an offer costs the flow its time and nobody else anything', async () => {
  const before = (await arena.agent.status()).flows;
  const counted = await counting();
  const flow = arena.agent.openFlow(target);
  const failed = expect(flow).rejects.toMatchObject({ code: expect.stringMatching(/timeout|no-connector/) });
  await evil.next('sessionOffer');
  await arena.unharmed();
  await failed;
  // Of the checks above only the UDP association is still there.
  expect((await arena.agent.status()).flows).toBeLessThanOrEqual(before + 1);
  expect(await counted()).toMatchObject({ 'flow_failed.timeout': 1 });
  await arena.unharmed();
});

test('a connector that accepts and never completes the inner handshake likewise', async () => {
  const counted = await counting();
  const flow = arena.agent.openFlow(target);
  const failed = expect(flow).rejects.toMatchObject({ code: expect.stringMatching(/timeout|no-connector/) });
  accept(await evil.next('sessionOffer'));
  await failed;
  expect(await counted()).toMatchObject({ 'flow_failed.timeout': 1 });
  await arena.unharmed();
});

test('a connector that never answers a flow, or answers rubbish, fails that flow alone', async () => {
  const { answers } = serveInner();
  for (const [answer, code] of [
    [undefined, 'timeout'],
    [Uint8Array.of(0x02, 0xff, 0xff), 'protocol'],
    [Uint8Array.of(0x80, 0x01, 0x00, 0x01), 'protocol'],
    [Uint8Array.of(0x03, 0xff, 0xff, 0xff), 'protocol'],
  ] as const) {
    answers(answer);
    const counted = await counting();
    const flow = await arena.agent.openFlow(target);
    await expect(flow.result()).rejects.toMatchObject({ code });
    flow.abandon();
    flow.release();
    expect(await counted()).toMatchObject({ [`flow_failed.${code}`]: 1 });
    await arena.unharmed();
  }
});

/** Begins to count at the agent; what it gives tells what came since. */
async function counting() {
  const before = (await arena.agent.status()).events;
  return async () => {
    const now = Object.entries((await arena.agent.status()).events);
    return Object.fromEntries(now.map(([key, count]) => [key, count - (before[key] ?? 0)]));
  };
}

function accept({ sessionUid, relayId }: SessionOffer): void {
  evil.send({ type: 'sessionAnswer', sessionUid, relayId });
}

/** The hostile connector takes inner connections, and answers each flow with the same bytes. */
function serveInner() {
  let bytes: Uint8Array | undefined;
  const listening = evil.endpoint;
  listening.onConnection = (connection: Connection) => {
    connection.onBiStream = (stream) => bytes && stream.write(bytes).catch(() => {});
    connection.accept();
  };
  evil.onMessage = (message) => {
    if (message.type !== 'sessionOffer') return;
    const prefix = relayPrefix(message.relayId);
    listening.addVirtualPath({ carrier: evil.connection, send: prefix, receive: prefix });
    accept(message);
  };
  return {
    answers(next: Uint8Array | undefined) {
      bytes = next;
    },
  };
}
