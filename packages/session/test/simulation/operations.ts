import type { Rng } from '@ztna/sim';
import type { FlowKey } from '../../src/types.ts';
import type { World } from './world.ts';

type Operation = (world: World, rng: Rng) => void;

/** What may happen to a fleet, by weight. */
const OPERATIONS: readonly (readonly [weight: number, operation: Operation])[] = [
  [12, wantFlow],
  [5, closeFlow],
  [3, (world, rng) => world.kill(rng.pick(world.names))],
  [4, restartSome],
  [2, (world, rng) => world.network.partition(rng.pick(world.names), rng.pick(world.names))],
  [2, (world) => world.network.heal()],
  [2, changePolicy],
  [2, changeConditions],
  [1, (world, rng) => [...world.intermediates.values()][rng.int(2)]?.drain()],
  [1, (world, rng) => [...world.agents.values(), ...world.connectors.values()][rng.int(5)]?.stop()],
];

const TOTAL = OPERATIONS.reduce((sum, [weight]) => sum + weight, 0);

/** Does one random thing, then lets some time pass: mostly little, sometimes much. */
export function doSomething(world: World, rng: Rng) {
  let at = rng.int(TOTAL);
  for (const [weight, operation] of OPERATIONS) {
    at -= weight;
    if (at >= 0) continue;
    operation(world, rng);
    break;
  }
  world.time.run(rng.chance(0.05) ? rng.int(60_000) : rng.int(700));
}

/** Ends all faults: everything runs again, in processes that were never drained or stopped, and knows the policy. */
export function calm(world: World, rng: Rng) {
  world.network.heal();
  world.conditions = {};
  for (const name of world.names) if (rng.chance(0.3)) world.kill(name);
  for (const [name, node] of world.intermediates) if (node.drained) world.kill(name);
  for (const nodes of [world.agents, world.connectors]) {
    for (const [name, node] of nodes) if (node.stopped) world.kill(name);
  }
  world.startAll();
  world.publish(0);
}

function wantFlow(world: World, rng: Rng) {
  const agents = [...world.agents.values()];
  if (agents.length > 0) rng.pick(agents).want(rng.pick(world.plane.services));
}

function closeFlow(world: World, rng: Rng) {
  const agent = [...world.agents.values()][rng.int(3)];
  const flow: FlowKey | undefined = [...(agent?.flows.keys() ?? [])][rng.int(4)];
  if (flow !== undefined) agent?.closeFlow(flow);
}

function restartSome(world: World, rng: Rng) {
  for (const name of world.names) if (rng.chance(0.7)) world.startNode(name);
}

function changePolicy(world: World, rng: Rng) {
  const pair = `${rng.pick(world.plane.layout.agents)}|${rng.pick(world.plane.services)}`;
  if (!world.plane.allowed.delete(pair)) world.plane.allowed.add(pair);
  world.publish(rng.pick([0, 500, 5_000]));
}

function changeConditions(world: World, rng: Rng) {
  const loss = rng.pick([0, 0, 0.05, 0.3]);
  world.conditions = {
    latencyMs: rng.pick([1, 10, 100]),
    jitterMs: rng.int(30),
    loss,
    duplicate: 0.05,
    reorder: 0.1,
    reorderMs: 200,
  };
}
