import { planForwards, startForwards } from '@ztna/agent';
import type { ServiceName } from '@ztna/wire';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { dial, endOf } from '../e2e/support/net.ts';
import { type Arena, startArena } from './support/arena.ts';
import { startBackend } from './support/backend.ts';
import { credentialsOf, endpointOf, fateOf, HostilePeer } from './support/peer.ts';

/** Of one event, peer and cause in a minute. One may end while the test runs. */
const MOST = 2 * 20;

let arena: Arena;
beforeAll(async () => {
  arena = await startArena();
});
afterAll(() => arena[Symbol.asyncDispose]());

const linesOf = (component: string, event: string, since: number) =>
  arena.stack.logs.entries
    .slice(since)
    .filter((entry) => entry.component === component && entry.event === event);

test('a local program whose connections fail fills no log of its agent', async () => {
  const since = arena.stack.logs.entries.length;
  const dead = await startBackend(() => undefined);
  await arena.serve({ subjects: ['alice'] }, { dead });
  dead[Symbol.dispose]();
  await arena.agent.reload();
  const plans = planForwards(
    { service: 'dead', port: 0, listen: { host: '127.0.0.1', port: 0 } },
    arena.agent.services(),
    undefined,
  );
  using forwards = startForwards(arena.agent, plans, 'test');
  const before = { ...arena.agent.observer.counters() };
  for (let batch = 0; batch < 6; batch++) {
    await Promise.all(
      Array.from({ length: 20 }, async () => endOf(await dial(forwards.open[0]?.listen ?? ''))),
    );
  }
  const after = () => arena.agent.observer.counters();
  const more = (prefix: string) =>
    Object.entries(after())
      .filter(([name]) => name.startsWith(prefix))
      .reduce((sum, [name, count]) => sum + count - (before[name] ?? 0), 0);
  await expect.poll(() => more('local_flow_failed.')).toBe(120);
  const lines = linesOf('agent', 'flow.failed', since);
  expect(lines.length + more('log_left_out.flow.failed')).toBe(120);
  expect(lines.length).toBeLessThanOrEqual(MOST);
  await arena.unharmed();
});

test('a connector that registers again and again fills no log of the intermediate', async () => {
  const counted = await arena.counting('intermediate');
  const since = arena.stack.logs.entries.length;
  await using peer = await HostilePeer.greeted(arena.evil, arena.target);
  const services = ['echo' as ServiceName];
  for (let i = 0; i < 150; i++) peer.send({ type: 'register', services, capacity: 0, labels: new Map() });
  const refused = () => linesOf('intermediate', 'connector.service-refused', since).length;
  const leftOut = async () => (await counted())['log_left_out/connector.service-refused'] ?? 0;
  await expect.poll(async () => refused() + (await leftOut())).toBe(150);
  expect(refused()).toBeLessThanOrEqual(MOST);
  await arena.unharmed();
});

test('an agent that opens sessions beyond its limits fills no log of the connector', async () => {
  const counted = await arena.counting('connector');
  const since = arena.stack.logs.entries.length;
  await using peer = await HostilePeer.greeted(arena.mallory, arena.target);
  const service = 'echo' as ServiceName;
  let open = 0;
  const opened = Promise.withResolvers<void>();
  peer.onMessage = ({ type }) => {
    open += type === 'error' || type === 'sessionOffer' ? 1 : 0;
    if (open === 130) opened.resolve();
    else if (open < 130)
      peer.send({ type: 'openSession', requestId: open + 1, service, excludeConnectors: [] });
  };
  peer.send({ type: 'openSession', requestId: 1, service, excludeConnectors: [] });
  await opened.promise;
  const refused = (await counted())['session_offered/limit'] ?? 0;
  expect(refused).toBeGreaterThan(0);
  const lines = linesOf('connector', 'offer.refused', since).length;
  expect(lines + ((await counted())['log_left_out/offer.refused'] ?? 0)).toBe(refused);
  expect(lines).toBeLessThanOrEqual(MOST);
  await arena.unharmed();
});

test('an agent that was revoked and comes back again and again fills no log of the intermediate', async () => {
  await arena.publish({ revoked: [arena.mallory.id] });
  const counted = await arena.counting('intermediate');
  const since = arena.stack.logs.entries.length;
  await using endpoint = endpointOf(credentialsOf(arena.mallory), arena.mallory.files.trust.bundleFile);
  for (let attempt = 0; attempt < 60; attempt++) {
    expect(await fateOf(endpoint, arena.target)).toMatchObject({ reason: 'certificate refused: revoked' });
  }
  const lines = linesOf('intermediate', 'peer.refused', since);
  expect(lines.length + ((await counted())['log_left_out/peer.refused'] ?? 0)).toBe(60);
  expect(lines.length).toBeLessThanOrEqual(MOST);
  expect(lines[0]).toMatchObject({ level: 'info', code: 'revoked', detail: arena.mallory.id });
  await arena.publish();
  await arena.unharmed();
});
