// idle.*: what connections cost that are there and do nothing.
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { outerServerTransport } from '@ztna/link';
import { Identities, type IdentityFiles } from '../identities.ts';
import { IdleAgents, roomForIdle } from '../idle-agents.ts';
import { type HeapUse, ownMemoryKb, slope } from '../memory.ts';
import { Role } from '../process.ts';
import type { RelaySettings } from '../relay-role.ts';
import { median } from '../results.ts';
import { Stack } from '../stack.ts';
import type { BenchContext } from './context.ts';

/** Connections at which memory is read. Nothing but what the first ones cost once lies below the first of them. */
const LEVELS = [0, 250, 500, 750, 1_000];
/** Agents; each has several connections, as several programs on one machine would. */
const IDENTITIES = 100;
const SLOPE_FROM = 250;
/** Until path-MTU discovery of the last connections is over. */
const SETTLE_MS = 1_500;
const transport = outerServerTransport({
  ...{ idleTimeoutMs: 30_000, keepAliveMs: 10_000, initialMtu: 1200, maxMtu: 1452 },
});
const NOWHERE = { tcp: '127.0.0.1:9', udp: '127.0.0.1:9' };

export const idleNames = ['idle.memory'];

export async function measureIdle(context: BenchContext): Promise<void> {
  await context.run('idle.memory', () => memory(context));
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
  const bare = await ofRelay();
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
  await using stack = await Stack.start(['idle'], NOWHERE, { limits: roomForIdle, observed: true });
  const identities = await stack.issueAgents(IDENTITIES);
  await using agents = await IdleAgents.atIntermediate(stack.intermediate, identities);
  return await read(stack.role('intermediate'), agents);
}

/** The QUIC engine with next to no JavaScript. */
async function ofRelay(): Promise<readonly Reading[]> {
  await using identities = await Identities.make();
  const settings: RelaySettings = { ...(await identities.issue('relay', 'intermediate/i')), transport };
  const script = join(import.meta.dirname, '../relay-role.ts');
  const args = ['--expose-gc', script, JSON.stringify(settings)];
  await using relay = await Role.start('relay', process.execPath, args);
  const { address } = JSON.parse(await relay.line()) as { address: string };
  const issued: IdentityFiles[] = [];
  for (let i = 0; i < IDENTITIES; i++) issued.push(await identities.issue(`a${i}`, `agent/a${i}`));
  await using agents = await IdleAgents.atRelay(address, issued);
  return await read(relay, agents);
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
