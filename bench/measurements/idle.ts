// idle.*: what connections cost that are there and do nothing.
import { setTimeout as sleep } from 'node:timers/promises';
import { IdleAgents, roomForIdle } from '../idle-agents.ts';
import type { Parameters, Times } from '../load.ts';
import { type HeapUse, ownMemoryKb, slope } from '../memory.ts';
import { type Role, withCpu } from '../process.ts';
import { RelayBed } from '../relay-bed.ts';
import { type CpuUse, median } from '../results.ts';
import { Stack } from '../stack.ts';
import type { BenchContext } from './context.ts';
import { ANY, NOWHERE } from './plain.ts';

/** Connections at which memory is read. Nothing but what the first ones cost once lies below the first of them. */
const LEVELS = [0, 250, 500, 750, 1_000];
/** Agents; each has several connections, as several programs on one machine would. */
const IDENTITIES = 100;
const SLOPE_FROM = 250;
/** Until path-MTU discovery of the last connections is over. */
const SETTLE_MS = 1_000;
/** Beside this many connections round trips are measured. */
const BESIDE = 500;
const PINGS = 1_000;
const SERVICE = 'bulk';

export const idleNames = ['idle.rtt', 'idle.rtt.relay', 'idle.memory'];

export async function measureIdle(context: BenchContext): Promise<void> {
  await context.run('idle.rtt', () => sessionRoundTrips(context));
  await context.run('idle.rtt.relay', () => relayRoundTrips(context));
  await context.run('idle.memory', () => memory(context));
}

async function sessionRoundTrips(context: BenchContext): Promise<void> {
  const { role, ready } = await context.generator.serve('backend', 'far', {
    via: 'udp',
    mode: 'echo',
    listen: ANY,
  });
  await using _ = role;
  await using stack = await Stack.start([SERVICE], { tcp: NOWHERE, udp: ready }, { limits: roomForIdle });
  await using agents = await IdleAgents.atIntermediate(
    stack.intermediate,
    await stack.issueAgents(IDENTITIES),
  );
  const ping = { via: 'udp', remote: stack.address(SERVICE, 'udp') };
  await compare(context, 'idle.rtt', { ping, agents, roles: [...stack.roles, role] });
}

async function relayRoundTrips(context: BenchContext): Promise<void> {
  await using bed = await RelayBed.start(context.generator);
  await using agents = await IdleAgents.atRelay(bed.address, await bed.issueAgents(IDENTITIES));
  await compare(context, 'idle.rtt.relay', { ping: bed.near('echo'), agents, roles: bed.roles });
}

/** With and without in turn, the order turned about each time: what drifts does not decide. */
async function compare(
  context: BenchContext,
  name: string,
  bed: { readonly ping: Parameters; readonly agents: IdleAgents; readonly roles: readonly Role[] },
): Promise<void> {
  const taken: Record<'without' | 'with', Times[]> = { without: [], with: [] };
  let cpu: CpuUse = {};
  const measure = async (which: keyof typeof taken) => {
    const count = which === 'with' ? BESIDE : 0;
    await bed.agents.become(count);
    await sleep(SETTLE_MS);
    const ping = () => context.generator.times('rtt', { ...bed.ping, size: 64, count: PINGS });
    const [[times], use] = await withCpu(bed.roles, async () => [await ping()]);
    await bed.agents.become(count); // all are still there
    if (times) taken[which].push(times);
    if (count > 0) cpu = use;
  };
  for (let i = 0; i < context.repeat; i++) {
    const order = ['without', 'with'] as const;
    for (const which of i % 2 === 0 ? order : order.toReversed()) await measure(which);
  }
  const us = (which: keyof typeof taken, q: 'p50Us' | 'p99Us') => median(taken[which].map((t) => t[q]));
  context.report({
    ...{ name, unit: '× without', cpu },
    samples: taken.with.map((t, i) => t.p50Us / (taken.without[i]?.p50Us ?? Number.NaN)),
    p99: us('with', 'p99Us') / us('without', 'p99Us'),
    notes: {
      ...{ connections: BESIDE, withoutUs: us('without', 'p50Us'), withUs: us('with', 'p50Us') },
      ...{ withoutP99Us: us('without', 'p99Us'), withP99Us: us('with', 'p99Us') },
    },
  });
}

interface Reading {
  readonly connections: number;
  readonly ownKb: number;
  readonly heapKb: number;
}

async function memory(context: BenchContext): Promise<void> {
  const samples: number[] = [];
  const heaps: number[] = [];
  let last: readonly Reading[] = [];
  for (let i = 0; i < context.repeat; i++) {
    last = await ofIntermediate();
    samples.push(perConnection(last, 'ownKb'));
    heaps.push(perConnection(last, 'heapKb'));
  }
  const bare = await ofRelay(context);
  const rounded = (kb: number) => Math.round(kb * 10) / 10;
  context.report({
    ...{ name: 'idle.memory', unit: 'KB', samples },
    notes: {
      javascriptKb: rounded(median(heaps)),
      bareRelayKb: rounded(perConnection(bare, 'ownKb')),
      bareRelayJavascriptKb: rounded(perConnection(bare, 'heapKb')),
      readings: last.map((r) => `${r.connections}: ${r.ownKb} (${r.heapKb})`).join(', '),
      bareReadings: bare.map((r) => `${r.connections}: ${r.ownKb} (${r.heapKb})`).join(', '),
    },
  });
}

function perConnection(readings: readonly Reading[], of: 'ownKb' | 'heapKb'): number {
  return slope(readings.filter((r) => r.connections >= SLOPE_FROM).map((r) => [r.connections, r[of]]));
}

/** A fresh intermediate each time: memory that was used once is used again. */
async function ofIntermediate(): Promise<readonly Reading[]> {
  await using stack = await Stack.start(
    [SERVICE],
    { tcp: NOWHERE, udp: NOWHERE },
    { limits: roomForIdle, observed: true },
  );
  const identities = await stack.issueAgents(IDENTITIES);
  await using agents = await IdleAgents.atIntermediate(stack.intermediate, identities);
  return await read(stack.role('intermediate'), agents);
}

/** The QUIC engine with next to no JavaScript. */
async function ofRelay({ generator }: BenchContext): Promise<readonly Reading[]> {
  await using bed = await RelayBed.start(generator);
  await using agents = await IdleAgents.atRelay(bed.address, await bed.issueAgents(IDENTITIES));
  return await read(bed.relay, agents);
}

async function read(role: Role, agents: IdleAgents): Promise<readonly Reading[]> {
  const readings: Reading[] = [];
  for (const connections of LEVELS) {
    await agents.become(connections);
    await sleep(SETTLE_MS);
    await agents.become(connections); // all are still there
    const { heapUsed, external } = (await role.ask('memory')) as HeapUse;
    readings.push({
      connections,
      ownKb: ownMemoryKb(role.pid),
      heapKb: Math.round((heapUsed + external) / 1024),
    });
  }
  return readings;
}
