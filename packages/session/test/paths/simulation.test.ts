import type { Rng } from '@ztna/sim';
import type { DirectPaths } from '@ztna/wire';
import { describe, expect, it } from 'vitest';
import { World } from './world.ts';

/** Longer: `SIM_RUNS=2000`; one seed again: `SIM_SEED=123`. */
const { env } = process;
const RUNS = Number(env.SIM_RUNS ?? 25);
const SEEDS = env.SIM_SEED ? [Number(env.SIM_SEED)] : Array.from({ length: RUNS }, (_, i) => i + 1);
/** The longest hold-down, the longest interval of probes, and a minute's budget of switches. */
const SETTLE_MS = 900_000;
const WATCH_MS = 300_000;

describe('two sides between which anything may happen', () => {
  it.each(['allow', 'deny', 'require'] as const)(
    'under %s never do what must not be, and end on the best path',
    (direct) => {
      const seen = new Set<string>();
      for (const seed of SEEDS) {
        const { world, good } = run(seed, direct);
        const again = `SIM_SEED=${seed} npx vitest run packages/session/test/paths`;
        expect(world.model.failures, `again with: ${again}`).toEqual([]);
        expect(good, `share of time on a good path; again with: ${again}`).toBeGreaterThan(0.9);
        for (const key of world.model.seen.keys()) seen.add(key);
      }
      if (env.SIM_SEED) return;
      if (direct === 'allow') expect([...seen]).toEqual(expect.arrayContaining(COVERED));
      if (direct === 'deny') expect([...seen]).not.toContain('probe');
    },
    60_000 + RUNS * 2_000,
  );

  it('runs the same way for the same seed', () => {
    expect([...run(7, 'allow').world.model.seen]).toEqual([...run(7, 'allow').world.model.seen]);
  });
});

/** What the operations must bring about, or the simulation would show nothing. */
const COVERED = [
  ...['direct', 'faster', 'ipv6', 'worse', 'lossy', 'died', 'relay-lost', 'followed'].map(
    (cause) => `path_switch/${cause}`,
  ),
  ...['candidates', 'schedule', 'network', 'lost'].map((cause) => `path_probe/${cause}`),
  ...['direct', 'starting', 'worse-than-relay', 'agent-decides', 'unstable', 'probe-timed-out'].map(
    (r) => `path_verdict/${r}`,
  ),
  'path_closed/dead',
  'path_path_address_refused/loopback',
  'path_remote_address_refused/loopback',
  'path_remote_address_refused/too-many',
];

function run(seed: number, direct: DirectPaths) {
  const world = new World(seed, direct);
  const rng = world.rng.fork();
  world.start();
  for (let step = 0; step < 60; step++) {
    disturb(world, rng);
    world.time.run(rng.chance(0.3) ? rng.int(60_000) : rng.int(3_000));
  }
  calm(world);
  world.time.run(SETTLE_MS);
  let good = 0;
  const samples = WATCH_MS / 500;
  for (let i = 0; i < samples; i++) {
    world.time.run(500);
    if (world.model.isGood() !== false) good++;
  }
  const { preferred, inUse } = world;
  world.time.run(100);
  if (preferred.agent !== inUse)
    world.model.fail(`the agent prefers ${preferred.agent}, the engine uses ${inUse}`);
  return { world, good: good / samples };
}

const HOSTILE = [
  '127.0.0.1:4433',
  '169.254.169.254:80',
  '224.0.0.1:4433',
  '[::1]:4433',
  '100.64.0.9:4433',
  'nonsense',
  '203.0.113.5:4433',
];

function disturb(world: World, rng: Rng): void {
  const route = rng.pick(world.routes);
  const side = rng.pick(['agent', 'connector'] as const);
  switch (rng.int(15)) {
    case 0:
    case 1:
      route.rttMs = 5 + rng.int(200);
      return;
    case 2:
      world.relay.rttMs = 5 + rng.int(200);
      return;
    case 3:
      route.loss = rng.chance(0.5) ? 0 : rng.next() * 0.3;
      return;
    case 4:
    case 5:
      return world.setRoute(route, !route.works);
    case 6:
      for (let i = 0; i < 6; i++) {
        world.setRoute(route, i % 2 === 1);
        world.time.run(200 + rng.int(1_500));
      }
      return;
    case 7:
      return world.setRelay(!world.relay.up);
    case 8:
      world.relay.loss = rng.chance(0.7) ? 0 : rng.next() * 0.2;
      return;
    case 9:
      return world.input(side, { type: 'network-changed' });
    case 10: {
      const many = Array.from({ length: 40 }, (_, i) => `203.0.113.${10 + i}:${1000 + rng.int(9)}`);
      for (let i = 0; i < 10; i++) {
        world.hostileCandidates(
          rng.chance(0.5) ? [...many, ...many] : [rng.pick(HOSTILE), ...HOSTILE.slice(i)],
        );
        world.time.run(rng.int(300));
      }
      return;
    }
    case 11:
      return world.observe(
        side,
        rng.pick(['i1', 'i2', 'i3']),
        rng.chance(0.3) ? undefined : `198.51.100.20:${rng.int(4) + 5000}`,
      );
    case 12:
      // The agent's own policy stays, so that a whole run is under it.
      return world.setPolicy('connector', rng.pick(['allow', 'allow', 'deny', 'require']));
    case 13:
      return world.move(side, rng.pick([...HOSTILE.filter((text) => text.includes(':')), '10.9.9.9:7']));
    default:
      world.setRelay(true);
  }
}

/** From here on nothing changes. */
function calm(world: World): void {
  world.setRelay(true);
  world.relay.loss = 0;
  world.setPolicy('connector', 'allow');
  world.observe('connector', 'i1', '203.0.113.5:4433');
  world.observe('connector', 'i2', '203.0.113.5:4433');
  world.tellAgain();
}
