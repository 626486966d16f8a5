import { describe, expect, it } from 'vitest';
import { agentId, connectorId } from './names.ts';
import { World } from './world.ts';

const LAYOUT = { agents: ['agent'], intermediates: ['intermediate'], connectors: { connector: ['web'] } };
const AFTER_MS = 3_000;

/** What an administrator takes away, from one moment to the next. */
const WITHDRAWALS: readonly (readonly [string, (world: World) => void])[] = [
  ['the rule', ({ plane }) => plane.allowed.clear()],
  ['the agent', ({ plane }) => plane.revoked.add(agentId('agent'))],
  ['the connector', ({ plane }) => plane.revoked.add(connectorId('connector'))],
];

describe('what is withdrawn at any step of setting up a session', () => {
  it.each(WITHDRAWALS)('%s, leaves no flow, no session and no rule', (_what, withdraw) => {
    for (let step = 1; step <= steps(); step++) {
      const world = withdrawnAt(step, withdraw);
      const what = `after message ${step}`;
      expect(world.model.failures, what).toEqual([]);
      expect(openFlows(world), what).toEqual([]);
      const { sessions, offers } = intermediate(world).core.stats();
      expect({ sessions, offers, rules: intermediate(world).rules.size }, what).toEqual({
        ...{ sessions: 0, offers: 0, rules: 0 },
      });
      expect(world.connectors.get('connector')?.core.stats(), what).toMatchObject({ sessions: 0, flows: 0 });
    }
  });

  it('the backend, cuts the flow to the old one and lets new ones go to the new one', () => {
    for (let step = 1; step <= steps(); step++) {
      const world = withdrawnAt(step, ({ plane }) => plane.backends.set('web', '192.0.2.9'));
      expect(world.model.failures, `after message ${step}`).toEqual([]);
      expect(world.reaches('agent', 'web', 3_000)).toBe(true);
      const [...flows] = world.connectors.get('connector')?.flows.values() ?? [];
      expect(new Set(flows.map(({ backend }) => backend))).toEqual(new Set(['192.0.2.9']));
    }
  });
});

describe('an intermediate that is revoked', () => {
  it('is left by agents and connectors at once, and grants count no more', () => {
    const world = new World(1, { ...LAYOUT, intermediates: ['i0', 'i1'] }, [['agent', 'web']]);
    world.startAll();
    expect(world.reaches('agent', 'web', 3_000)).toBe(true);
    expect(world.intermediates.get('i0')?.peers.size).toBe(2);
    world.plane.revokeIntermediate('i0');
    world.publish(0);
    world.time.run(AFTER_MS);
    expect(world.intermediates.get('i0')?.peers.size).toBe(0);
    expect(world.reaches('agent', 'web', 5_000)).toBe(true);
    expect(world.intermediates.get('i1')?.rules.size).toBe(2);
  });
});

function withdrawnAt(step: number, withdraw: (world: World) => void): World {
  const world = new World(step, LAYOUT, [['agent', 'web']]);
  world.afterControlMessage = (count) => {
    if (count !== step) return;
    withdraw(world);
    world.publish(0);
  };
  world.startAll();
  world.agents.get('agent')?.want('web');
  world.time.run(AFTER_MS);
  return world;
}

/** Control messages until a flow is open, and one more, for what happens to open ones. */
function steps(): number {
  const world = new World(1, LAYOUT, [['agent', 'web']]);
  world.startAll();
  if (!world.reaches('agent', 'web', 3_000)) throw new Error('no flow');
  return world.controlMessages;
}

function intermediate(world: World) {
  const node = world.intermediates.get('intermediate');
  if (!node) throw new Error('no intermediate');
  return node;
}

function openFlows(world: World) {
  return [...(world.agents.get('agent')?.flows ?? [])].filter(([, state]) => state === 'open');
}
