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
/** Enrolled, and played by attackers. */
const HOSTILE = { agents: ['mallory'], intermediates: ['ix'], connectors: { evil: ['s3'] } };
const ALLOWED = [
  ['a0', 's0'],
  ['a0', 's1'],
  ['a1', 's2'],
  ['a1', 's1'],
  ['a2', 's0'],
  ['a2', 's2'],
] as const;

const HOSTILE_ALLOWED = [...ALLOWED, ['a0', 's3'], ['mallory', 's1']] as const;

describe('a fleet to which anything may happen, with attackers in every role', () => {
  const seeds = env.SIM_SEED ? [Number(env.SIM_SEED)] : Array.from({ length: RUNS }, (_, i) => FIRST + i);

  it(
    'never does what must not be, and serves every allowed flow once faults end',
    () => {
      for (const seed of seeds) expectNoFailure(seed);
    },
    20_000 + RUNS * 200,
  );

  it.each([...REGRESSION_SEEDS])('still withstands seed $seed, which showed: $showed', (regression) => {
    expectNoFailure(regression.seed, regression.steps, regression.hostile);
  });

  it('runs the same way for the same seed', () => {
    const summary = (world: World) => [world.network.stats, world.controlMessages, [...world.counters]];
    expect(summary(run(7).world)).toEqual(summary(run(7).world));
  });
});

function expectNoFailure(seed: number, steps = STEPS, hostile = true) {
  const { failures } = run(seed, steps, hostile);
  const again = `SIM_SEED=${seed} SIM_STEPS=${steps} npx vitest run packages/session/test/simulation`;
  expect(failures, `again with: ${again}`).toEqual([]);
}

function run(seed: number, steps = STEPS, hostile = true) {
  const world = hostile
    ? new World(seed, { ...LAYOUT, hostile: HOSTILE }, HOSTILE_ALLOWED)
    : new World(seed, LAYOUT, ALLOWED);
  const rng = world.rng.fork();
  world.startAll();
  world.startHostile();
  for (let step = 0; step < steps; step++) doSomething(world, rng);
  if (rng.chance(0.5)) world.revoke('a2', 0);
  calm(world, rng);
  // Hostile agents and connectors go on: they may cost nobody the service.
  for (let ms = 0; ms < SETTLE_MS; ms += 1_000) {
    act(world);
    world.time.run(1_000);
  }
  expectService(world);
  if (hostile) expectUndisturbed(world);
  expectNothingLeft(world);
  return { world, failures: world.model.failures };
}

function act(world: World) {
  for (const attacker of world.attackers) attacker.act(world.plane.layout.intermediates);
}

/** Whatever attackers do without faults beside them, open flows stay open. */
function expectUndisturbed(world: World) {
  const open = [...world.agents].flatMap(([name, node]) =>
    [...node.flows].filter(([, state]) => state === 'open').map(([flow]) => ({ name, node, flow })),
  );
  for (let round = 0; round < 20; round++) {
    act(world);
    world.time.run(500);
  }
  for (const { name, node, flow } of open)
    if (node.flows.get(flow) !== 'open') world.model.fail(`an attacker ended flow ${flow} of ${name}`);
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
  for (const attacker of world.attackers) attacker.stop();
  world.time.run(100_000);
  for (const node of world.intermediates.values()) {
    const kept = Object.values(node.core.stats()).reduce((sum, size) => sum + size, node.rules.size);
    if (kept === 0) continue;
    world.model.fail(
      `${node.name} keeps ${JSON.stringify(node.core.stats())} and ${node.rules.size} rules of nobody`,
    );
  }
}

describe('the generator of operations', () => {
  it('reaches flows, attachments, extensions, revocations, and what attackers are refused', () => {
    const seen = new Set<string>();
    for (let seed = 1; seed <= 12; seed++) for (const key of run(seed).world.counters.keys()) seen.add(key);
    const wanted = [
      'flow/opened',
      'flow/cut',
      'session_attached/ok',
      'grant_issued/extended',
      'session_opened/attach',
      'session_offered/grant-invalid',
      'session_offered/not-authorized',
      'flow_refused/not-authorized',
      'request_refused/not-authorized',
      'message_ignored/close-unknown-session',
      'message_ignored/grant-unknown-session',
      'offer_refused/agent',
      'inner.wrong-identity',
    ];
    expect([...seen]).toEqual(expect.arrayContaining(wanted));
  });
});
