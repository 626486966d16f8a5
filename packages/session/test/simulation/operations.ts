import type { Rng } from '@ztna/sim';
import type { FlowKey } from '../../src/types.ts';
import { connectorId } from './names.ts';
import type { World } from './world.ts';

type Operation = (world: World, rng: Rng) => void;

type Operations = readonly (readonly [weight: number, operation: Operation])[];

/** What may happen to a fleet, by weight. */
const FAULTS: Operations = [
  [12, wantFlow],
  [5, closeFlow],
  [3, (world, rng) => world.kill(rng.pick(world.names))],
  [4, restartSome],
  [2, (world, rng) => world.network.partition(rng.pick(world.names), rng.pick(world.names))],
  [2, (world) => world.network.heal()],
  [2, changePolicy],
  [1, changeBackend],
  [1, changeRevoked],
  [2, changeConditions],
  [1, (world, rng) => [...world.intermediates.values()][rng.int(2)]?.drain()],
  [1, (world, rng) => [...world.agents.values(), ...world.connectors.values()][rng.int(5)]?.stop()],
];

/** What may happen besides, when its layout has peers that do not behave. */
const HOSTILITY: Operations = [
  ...FAULTS,
  [3, migrateSome],
  [6, (world, rng) => rng.pick(world.attackers).act(world.plane.layout.intermediates)],
  [6, (world, rng) => rng.pick(world.attackers).act(everyIntermediate(world))],
  [10, misguide],
  [1, (world, rng) => world.restartHostileIntermediate(rng.pick([...world.hostileIntermediates.keys()]))],
];

/** Does one random thing, then lets some time pass: mostly little, sometimes much. */
export function doSomething(world: World, rng: Rng) {
  const operations = world.plane.layout.hostile ? HOSTILITY : FAULTS;
  let at = rng.int(operations.reduce((sum, [weight]) => sum + weight, 0));
  for (const [weight, operation] of operations) {
    at -= weight;
    if (at >= 0) continue;
    operation(world, rng);
    break;
  }
  world.time.run(rng.chance(0.05) ? rng.int(60_000) : rng.int(700));
}

/**
 * Ends all faults: everything runs again, in processes that were never drained or stopped, and knows the policy. Hostile
 * intermediates are gone, since they may deny their service; hostile agents and connectors stay.
 */
export function calm(world: World, rng: Rng) {
  world.network.heal();
  world.conditions = {};
  world.stopHostileIntermediates();
  for (const name of world.names) if (rng.chance(0.3)) world.kill(name);
  for (const [name, node] of world.intermediates) if (node.drained) world.kill(name);
  for (const name of Object.keys(world.plane.layout.connectors))
    if (world.plane.revoked.delete(connectorId(name))) world.kill(name);
  for (const nodes of [world.agents, world.connectors]) {
    for (const [name, node] of nodes) if (node.stopped) world.kill(name);
  }
  world.startAll();
  world.publish(0);
}

function wantFlow(world: World, rng: Rng) {
  const agents = [...world.agents.values()];
  if (agents.length > 0) rng.pick(agents).want(rng.pick(world.plane.everyService));
}

function closeFlow(world: World, rng: Rng) {
  const agent = [...world.agents.values()][rng.int(3)];
  const flow: FlowKey | undefined = [...(agent?.flows.keys() ?? [])][rng.int(4)];
  if (flow !== undefined) agent?.closeFlow(flow);
}

function restartSome(world: World, rng: Rng) {
  for (const name of world.names) if (rng.chance(0.7)) world.startNode(name);
}

function migrateSome(world: World, rng: Rng) {
  for (const node of [...world.agents.values(), ...world.connectors.values()])
    if (rng.chance(0.4)) node.migrate();
}

function misguide(world: World) {
  for (const node of world.hostileIntermediates.values()) node.act();
}

function everyIntermediate(world: World): string[] {
  const { intermediates, hostile } = world.plane.layout;
  return [...intermediates, ...(hostile?.intermediates ?? [])];
}

function changePolicy(world: World, rng: Rng) {
  const pair = `${rng.pick(world.plane.layout.agents)}|${rng.pick(world.plane.services)}`;
  if (!world.plane.allowed.delete(pair)) world.plane.allowed.add(pair);
  world.publish(rng.pick([0, 500, 5_000]));
}

function changeBackend(world: World, rng: Rng) {
  world.plane.backends.set(rng.pick(world.plane.services), `192.0.2.${1 + rng.int(3)}`);
  world.publish(rng.pick([0, 500, 5_000]));
}

/** A connector is revoked, or comes back, as a new process: who was told that it is revoked does not try again. */
function changeRevoked(world: World, rng: Rng) {
  const name = rng.pick(Object.keys(world.plane.layout.connectors));
  if (!world.plane.revoked.delete(connectorId(name))) world.plane.revoked.add(connectorId(name));
  else world.kill(name);
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
