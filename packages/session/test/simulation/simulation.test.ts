import { describe, expect, it } from 'vitest';
import { calm, doSomething } from './operations.ts';
import { REGRESSION_SEEDS } from './seeds.ts';
import { World } from './world.ts';

/** Longer: `SIM_RUNS=5000`; one seed again: `SIM_SEED=123`. */
const env = process.env;
const RUNS = Number(env.SIM_RUNS ?? 60);
const STEPS = Number(env.SIM_STEPS ?? 80);
const FIRST = Number(env.SIM_FIRST ?? 1);
/** After faults end: idle timeouts of dead connections (12 s), backoff (10 s), one grant's life (60 s). */
const SETTLE_MS = 75_000;
const REACH_MS = 15_000;

const LAYOUT = {
  agents: ['a0', 'a1', 'a2'],
  intermediates: ['i0', 'i1'],
  connectors: { c0: ['s0', 's1'], c1: ['s1', 's2'], c2: ['s0', 's2'] },
};
const ALLOWED = [
  ['a0', 's0'],
  ['a0', 's1'],
  ['a1', 's2'],
  ['a1', 's1'],
  ['a2', 's0'],
  ['a2', 's2'],
] as const;

describe('a fleet to which anything may happen', () => {
  const seeds = env.SIM_SEED ? [Number(env.SIM_SEED)] : Array.from({ length: RUNS }, (_, i) => FIRST + i);

  it(
    'never does what must not be, and serves every allowed flow once faults end',
    () => {
      for (const seed of seeds) expectNoFailure(seed);
    },
    20_000 + RUNS * 200,
  );

  it.each([...REGRESSION_SEEDS])('still withstands seed $seed, which showed: $showed', ({ seed, steps }) => {
    expectNoFailure(seed, steps);
  });

  it('runs the same way for the same seed', () => {
    const summary = (world: World) => [world.network.stats, world.controlMessages, [...world.counters]];
    expect(summary(run(7).world)).toEqual(summary(run(7).world));
  });
});

function expectNoFailure(seed: number, steps = STEPS) {
  const { failures } = run(seed, steps);
  const again = `SIM_SEED=${seed} SIM_STEPS=${steps} npx vitest run packages/session/test/simulation`;
  expect(failures, `again with: ${again}`).toEqual([]);
}

function run(seed: number, steps = STEPS) {
  const world = new World(seed, LAYOUT, ALLOWED);
  const rng = world.rng.fork();
  world.startAll();
  for (let step = 0; step < steps; step++) doSomething(world, rng);
  if (rng.chance(0.5)) world.revoke('a2', 0);
  calm(world, rng);
  world.time.run(SETTLE_MS);
  expectService(world);
  expectNothingLeft(world);
  return { world, failures: world.model.failures };
}

function expectService(world: World) {
  for (const agent of world.plane.layout.agents) {
    for (const name of world.plane.services) {
      const wanted = world.plane.isAllowed(agent, name);
      const reached = world.reaches(agent, name, wanted ? REACH_MS : 1_500);
      if (reached !== wanted) world.model.fail(`${agent} ${reached ? 'reaches' : 'does not reach'} ${name}`);
    }
  }
}

function expectNothingLeft(world: World) {
  for (const name of [...world.agents.keys(), ...world.connectors.keys()]) world.kill(name);
  world.time.run(100_000);
  for (const node of world.intermediates.values()) {
    const { peers, sessions, offers, timers } = node.core.stats();
    if (node.rules.size + peers + sessions + offers + timers === 0) continue;
    world.model.fail(
      `${node.name} keeps ${JSON.stringify(node.core.stats())} and ${node.rules.size} rules of nobody`,
    );
  }
}

describe('the generator of operations', () => {
  it('reaches flows, attachments, extensions and revocations', () => {
    const seen = new Set<string>();
    for (let seed = 1; seed <= 8; seed++) for (const key of run(seed).world.counters.keys()) seen.add(key);
    const wanted = [
      'flow/opened',
      'flow/cut',
      'session_attached/ok',
      'grant_issued/extended',
      'session_opened/attach',
    ];
    expect([...seen]).toEqual(expect.arrayContaining(wanted));
  });
});
