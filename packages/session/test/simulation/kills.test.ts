import { describe, expect, it } from 'vitest';
import { World } from './world.ts';

const LAYOUT = { agents: ['agent'], intermediates: ['intermediate'], connectors: { connector: ['web'] } };
const NAMES = ['agent', 'intermediate', 'connector'];
/** Down that long: shorter and longer than the idle timeout of the fake connections (12 s). */
const DOWN_MS = [0, 700, 9_000, 20_000];

describe('a peer that vanishes', () => {
  it.each(NAMES)(
    'at every step of setting up a session, the %s, leaves nothing that stays broken',
    (victim) => {
      const steps = messagesOfSetUp();
      expect(steps).toBeGreaterThan(8);
      for (const downMs of DOWN_MS) {
        for (let step = 1; step <= steps; step++) expectRecovery(victim, step, downMs);
      }
    },
  );

  it('for good, the connector, is replaced by another one for new flows', () => {
    const layout = { ...LAYOUT, connectors: { c0: ['web'], c1: ['web'] } };
    const world = new World(1, layout, [['agent', 'web']]);
    world.startAll();
    expect(world.reaches('agent', 'web', 3_000)).toBe(true);
    const [inUse] = [...world.connectors.values()].filter((node) => node.flows.size > 0);
    world.kill(inUse?.name ?? '');
    world.time.run(12_000 + 30_000);
    expect(world.reaches('agent', 'web', 12_000)).toBe(true);
    expect(world.model.failures).toEqual([]);
  });

  it('for 8 s, the intermediate, is back in use within 2 s of coming up, with the flows of before', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const { world, flow } = withOpenFlow(seed);
      world.kill('intermediate');
      world.time.run(8_000 + seed * 37);
      world.startNode('intermediate');
      world.time.run(2_000);
      expect(world.intermediates.get('intermediate')?.rules.size, `seed ${seed}`).toBe(2);
      expect(world.reaches('agent', 'web', 500)).toBe(true);
      expect(world.agents.get('agent')?.flows.get(flow)).toBe('open');
      expect(world.connectors.get('connector')?.flows.size).toBe(2);
    }
  });

  it('from the network for 20 s, the connector, keeps its flows without the agent doing anything', () => {
    const { world, flow } = withOpenFlow(3);
    world.network.partition('connector', 'intermediate');
    world.time.run(20_000);
    world.network.heal();
    world.time.run(3_000);
    expect(world.reaches('agent', 'web', 2_000)).toBe(true);
    expect(world.agents.get('agent')?.flows.get(flow)).toBe('open');
    expect(world.counters.get('session_opened/open')).toBe(1);
  });
});

describe('a fleet that nothing happens to', () => {
  it('uses one session for an hour, renewing its grant', () => {
    const { world, flow } = withOpenFlow(1);
    world.time.run(3_600_000);
    expect(world.agents.get('agent')?.flows.get(flow)).toBe('open');
    expect(world.counters.get('session_opened/open')).toBe(1);
    expect(world.counters.get('grant_issued/extended')).toBeGreaterThan(50);
  });

  it('closes a session that has no flows', () => {
    const { world, flow } = withOpenFlow(1);
    world.agents.get('agent')?.closeFlow(flow);
    world.time.run(45_000);
    expect(world.connectors.get('connector')?.core.stats()).toMatchObject({ sessions: 0, flows: 0 });
    expect(world.intermediates.get('intermediate')?.rules.size).toBe(0);
    expect(world.connectors.get('connector')?.records).toBe(1);
  });

  it('cuts flows of a revoked agent in the instant in which the connector hears of it', () => {
    const { world, flow } = withOpenFlow(1);
    world.revoke('agent', 0);
    expect(world.connectors.get('connector')?.core.stats()).toMatchObject({ sessions: 0, flows: 0 });
    expect(world.intermediates.get('intermediate')?.rules.size).toBe(0);
    world.time.run(5_000);
    expect(world.agents.get('agent')?.flows.get(flow)).not.toBe('open');
    expect(world.reaches('agent', 'web', 3_000)).toBe(false);
  });

  it('moves sessions off a draining intermediate without breaking a flow', () => {
    const world = new World(1, { ...LAYOUT, intermediates: ['i0', 'i1'] }, [['agent', 'web']]);
    world.startAll();
    expect(world.reaches('agent', 'web', 3_000)).toBe(true);
    const flows = world.agents.get('agent')?.flows;
    world.intermediates.get('i0')?.drain();
    world.time.run(2_000);
    expect(world.intermediates.get('i0')?.rules.size).toBe(0);
    expect(world.intermediates.get('i1')?.rules.size).toBe(2);
    world.kill('i0');
    world.time.run(30_000);
    expect([...(flows?.values() ?? [])]).toEqual(['open']);
    expect(world.model.failures).toEqual([]);
  });
});

function messagesOfSetUp(): number {
  return withOpenFlow(1).world.controlMessages;
}

function withOpenFlow(seed: number) {
  const world = new World(seed, LAYOUT, [['agent', 'web']]);
  world.startAll();
  expect(world.reaches('agent', 'web', 3_000)).toBe(true);
  const [flow] = world.agents.get('agent')?.flows.keys() ?? [];
  if (flow === undefined) throw new Error('no flow');
  return { world, flow };
}

function expectRecovery(victim: string, step: number, downMs: number) {
  const world = new World(step, LAYOUT, [['agent', 'web']]);
  world.afterControlMessage = (count) => {
    if (count !== step) return;
    world.kill(victim);
    world.time.after(downMs, () => world.startNode(victim));
  };
  world.startAll();
  world.agents.get('agent')?.want('web');
  world.time.run(downMs + 14_000);
  const what = `${victim} killed after message ${step} for ${downMs} ms`;
  expect(world.reaches('agent', 'web', 15_000), what).toBe(true);
  expect(world.model.failures, what).toEqual([]);
}
