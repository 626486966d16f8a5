import type { ServiceName } from '@ztna/wire';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { FlowOutcome } from '../system/support/agent.ts';
import { type Arena, startArena } from './support/arena.ts';
import { HostilePeer } from './support/peer.ts';

const SESSIONS = 3;
const FLOWS = 60;

let arena: Arena;
beforeAll(async () => {
  arena = await startArena({
    connector: {
      limits: { sessionsPerAgent: SESSIONS, flowsPerSession: 40, flowsPerAgent: FLOWS, flows: 80 },
    },
  });
});
afterAll(() => arena[Symbol.asyncDispose]());

const refused = (metric: string) =>
  arena.metric('connector', 'ztna_core_events_total', `"${metric}",cause="limit"`);

test('one agent gets its share of a connector’s sessions and flows, however many sessions it opens', async () => {
  const agents = Array.from({ length: SESSIONS }, () => arena.agentOf(arena.mallory));
  const opened: FlowOutcome[] = [];
  for (const agent of agents) opened.push(...(await flows(agent, 30)));
  expect(opened.filter(({ ok }) => ok)).toHaveLength(FLOWS);
  expect(opened.filter((flow) => !flow.ok && flow.error.code === 'limit')).toHaveLength(30);
  expect(await refused('flow_refused')).toBe(30);
  await arena.unharmed();

  await using peer = await HostilePeer.greeted(arena.mallory, arena.target);
  const service = 'echo' as ServiceName;
  peer.send({ type: 'openSession', requestId: 1, service, excludeConnectors: [] });
  expect(await peer.next('error')).toMatchObject({ error: { code: 'limit', requestId: 1 } });
  expect(await refused('session_offered')).toBe(1);
  await arena.unharmed();
});

function flows(agent: ReturnType<Arena['agentOf']>, count: number): Promise<FlowOutcome[]> {
  return Promise.all(Array.from({ length: count }, () => agent.flow('echo', 'tcp')));
}
