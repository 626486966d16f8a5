import { queryObjects } from 'node:v8';
import type { Flow } from '@ztna/agent';
import { Connection, QuicStream, VirtualPath } from '@ztna/quic';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { echoed, startWorld } from './support/world.ts';

let cleanup: AsyncDisposableStack;
beforeEach(() => {
  cleanup = new AsyncDisposableStack();
});
afterEach(() => cleanup.disposeAsync());

describe('of sessions that are over nothing is kept', () => {
  it('at the connector and the intermediate, when agents come and go', async () => {
    const s = await startWorld(cleanup);
    await expectNothingKept(async () => {
      await using agent = await s.agentBegins();
      await useFlow(await s.open(agent));
    });
  }, 60_000);

  it('at the agent and the intermediate, when connectors come and go', async () => {
    const s = await startWorld(cleanup);
    await s.connector[Symbol.asyncDispose]();
    await expectNothingKept(async () => {
      await using _ = await s.connectorBegins();
      await useFlow(await s.open());
    });
  }, 60_000);

  it('at the agent and the connector, when the intermediate under a session comes and goes', async () => {
    const s = await startWorld(cleanup, { direct: 'deny' });
    const whole = await s.open();
    await s.relay[Symbol.asyncDispose]();
    await expectNothingKept(async () => {
      await using relay = await s.intermediateBegins();
      expect(await echoed(whole, 'hello')).toBe('hello');
      expect(relay.stats().sessions).toBe(1);
    });
  }, 60_000);
});

async function useFlow(flow: Flow): Promise<void> {
  expect(await echoed(flow, 'hello')).toBe('hello');
  flow.abandon();
  flow.release();
}

/** The components all run in this process. What is left of one visit may take a moment to go; five leave more. */
async function expectNothingKept(visit: () => Promise<void>): Promise<void> {
  await visit();
  const before = reachable();
  for (let i = 0; i < 5; i++) await visit();
  const more = () =>
    reachable().map(([what, count], i) => [what, Math.max(0, count - (before[i]?.[1] ?? 0))]);
  await expect.poll(more, { timeout: 10_000, interval: 200 }).toEqual(before.map(([what]) => [what, 0]));
}

/** Objects that a collection does not free. */
function reachable(): [what: string, count: number][] {
  return [Connection, QuicStream, VirtualPath].map((type) => [
    type.name,
    queryObjects(type as unknown as new () => object, { format: 'count' }),
  ]);
}
