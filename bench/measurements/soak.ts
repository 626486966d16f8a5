// soak.*: whether memory stays flat and nothing is left while connections, sessions and flows come and go.
import { setTimeout as sleep } from 'node:timers/promises';
import { IdleAgents, roomForIdle } from '../idle-agents.ts';
import { descriptors, type HeapUse, ownMemoryKb } from '../memory.ts';
import { metricOf, type Reading, trend } from '../soak-figures.ts';
import { type AgentProcess, Stack } from '../stack.ts';
import type { BenchContext } from './context.ts';
import { ANY } from './plain.ts';

const SERVICE = 'bulk';
const components = ['agent', 'intermediate', 'connector'] as const;
const SAMPLE_MS = 10_000;
/** One turn opens flows and connections and drops them; it takes a fraction of this. */
const TURN_MS = 2_000;
/** A second agent, with a session of its own, comes and goes so often. */
const GUEST_TURNS = 10;
const VISITORS = 10;
/** Places that an intermediate has for sessions that may be resumed (native/quic/src/tls/mod.rs), about 1.3 KB each. */
const KEPT_SESSIONS = 2_048;
/** Killed agents are noticed by the idle timeouts of their connections, two minutes inside a session. */
const LEFT_MS = 240_000;
const background = { background: true };

export const soakNames = ['soak'];

export async function measureSoak(context: BenchContext): Promise<void> {
  await context.run('soak', () => soak(context));
}

async function soak(context: BenchContext): Promise<void> {
  const tcp = await context.generator.serve('backend', 'tcp-server', { listen: ANY });
  await using _tcp = tcp.role;
  const udp = await context.generator.serve('backend-udp', 'far', { via: 'udp', mode: 'echo', listen: ANY });
  await using _udp = udp.role;
  const backends = { tcp: tcp.ready, udp: udp.ready };
  await using stack = await Stack.start([SERVICE], backends, {
    limits: roomForIdle,
    observed: true,
    ...background,
  });
  await using visitors = await IdleAgents.atIntermediate(
    stack.intermediate,
    await stack.issueAgents(VISITORS),
  );
  await fill(visitors);
  const churn = new Churn(context, stack, visitors);
  const readings: Record<string, Reading[]> = Object.fromEntries(components.map((name) => [name, []]));
  const cpuBefore = components.map((name) => stack.role(name).cpuMs);
  const begin = performance.now();
  const minutes = () => (performance.now() - begin) / 60_000;
  for (let next = 0; minutes() < context.minutes && !context.signal.aborted; ) {
    await churn.turn();
    if (performance.now() - begin >= next) {
      next += SAMPLE_MS;
      for (const name of components) readings[name]?.push(await read(stack, name, minutes()));
    }
    await sleep(TURN_MS, undefined, { signal: context.signal }).catch(() => undefined);
  }
  const cpu = Object.fromEntries(
    components.map((name, i) => {
      const usedMs = stack.role(name).cpuMs - (cpuBefore[i] ?? 0);
      return [name, Math.round((usedMs / (minutes() * 60_000)) * 100)] as const;
    }),
  );
  const left = await leftOver(stack, visitors);
  for (const name of components) report(context, name, readings[name] ?? [], left);
  const samples = [left.sessions + left.flows];
  context.report({
    name: 'soak.left',
    unit: 'sessions, flows',
    samples,
    cpu,
    notes: { ...churn.done, ...left },
  });
}

/**
 * Takes all places for sessions: a store that fills up to its bound is no growth, and fills for eight minutes else. No
 * more connections at a time than later: what they leave free would hide growth.
 */
async function fill(visitors: IdleAgents): Promise<void> {
  for (let came = 0; came < KEPT_SESSIONS; came += VISITORS) {
    await visitors.become(VISITORS);
    await visitors.become(0);
  }
}

function report(
  context: BenchContext,
  name: (typeof components)[number],
  readings: readonly Reading[],
  left: Left,
) {
  const own = trend(readings, 'ownKb');
  const heap = trend(readings, 'heapKb');
  context.report({
    ...{ name: `soak.${name}`, unit: '% of the first third', samples: [own.percent] },
    notes: {
      ...{ firstKb: own.firstKb, lastKb: own.lastKb, kbPerHour: Math.round(own.kbPerHour) },
      ...{ heapFirstKb: heap.firstKb, heapLastKb: heap.lastKb, heapKbPerHour: Math.round(heap.kbPerHour) },
      ...{ readings: readings.length, descriptorsAtStart: readings[0]?.descriptors ?? 0 },
      descriptorsAtEnd: left[`${name}Descriptors`],
      everyMinuteKb: readings
        .filter((_, i) => i % 6 === 0)
        .map((r) => r.ownKb)
        .join(' '),
    },
  });
}

async function read(stack: Stack, name: (typeof components)[number], minutes: number): Promise<Reading> {
  const role = stack.role(name);
  const { heapUsed, external } = (await role.ask('memory')) as HeapUse;
  const heapKb = Math.round((heapUsed + external) / 1024);
  return { minutes, ownKb: ownMemoryKb(role.pid), heapKb, descriptors: descriptors(role.pid) };
}

interface Left {
  readonly sessions: number;
  readonly flows: number;
  readonly peers: number;
  readonly rules: number;
  readonly agentDescriptors: number;
  readonly intermediateDescriptors: number;
  readonly connectorDescriptors: number;
}

/** What is there once nobody wants anything any more: first the agent's flows, then, without it, everything. */
async function leftOver(stack: Stack, visitors: IdleAgents): Promise<Left> {
  await visitors.become(0);
  const of = async (name: (typeof components)[number], metric: string) =>
    metricOf(await stack.metrics(name), metric) ?? Number.NaN;
  const until = async (count: () => Promise<number>): Promise<number> => {
    const end = performance.now() + LEFT_MS;
    for (;;) {
      const left = await count();
      if (left === 0 || performance.now() > end) return left;
      await sleep(1_000);
    }
  };
  const agentFlows = await until(() => of('agent', 'ztna_agent_flows'));
  const agentDescriptors = descriptors(stack.role('agent').pid);
  await stack.role('agent').stop();
  const flows = agentFlows + (await until(() => of('connector', 'ztna_flows')));
  const sessions =
    (await until(() => of('connector', 'ztna_sessions'))) +
    (await until(() => of('intermediate', 'ztna_sessions')));
  return {
    ...{ flows, sessions, agentDescriptors },
    peers: await of('intermediate', 'ztna_peers'), // the connector
    rules: await of('intermediate', 'ztna_relay_rules'),
    intermediateDescriptors: descriptors(stack.role('intermediate').pid),
    connectorDescriptors: descriptors(stack.role('connector').pid),
  };
}

/** Opens and drops, and counts what it did. */
class Churn {
  readonly done = { turns: 0, tcpFlows: 0, tcpCut: 0, udpFlows: 0, connections: 0, guests: 0, failed: 0 };
  readonly #context: BenchContext;
  readonly #stack: Stack;
  readonly #visitors: IdleAgents;

  constructor(context: BenchContext, stack: Stack, visitors: IdleAgents) {
    this.#context = context;
    this.#stack = stack;
    this.#visitors = visitors;
  }

  async turn(): Promise<void> {
    const { done } = this;
    await this.#flows(this.#stack);
    await this.#visitors.become(VISITORS);
    await this.#visitors.become(0);
    done.connections += VISITORS;
    if (done.turns++ % GUEST_TURNS === 0) await this.#guest();
  }

  async #flows(agent: Pick<AgentProcess, 'address'>): Promise<void> {
    const { generator } = this.#context;
    const { done } = this;
    const remote = agent.address(SERVICE, 'tcp');
    const { count, failed } = await generator.times('http', { remote, count: 10 }, background);
    // The client goes while the backend sends.
    await generator.transfer({ remote, direction: 'down', streams: 2, seconds: 0.01 }, background);
    const udp = { via: 'udp', remote: agent.address(SERVICE, 'udp'), size: 64, count: 10 };
    await generator.times('rtt', udp, background);
    done.tcpFlows += count;
    done.failed += failed;
    done.tcpCut += 2;
    done.udpFlows++;
  }

  /** Ends in order and by a crash in turn. */
  async #guest(): Promise<void> {
    const guest = await this.#stack.startAgent('guest');
    await this.#flows(guest);
    if (this.done.guests++ % 2 === 0) await guest.role.stop();
    else await guest.role.kill();
  }
}
