// switch.*, fallback.*: what moving between relay and direct path costs, between hosts of the network lab.
import type { Blast } from '../load.ts';
import { NetlabBed } from '../netlab.ts';
import { withCpu } from '../process.ts';
import type { CpuUse } from '../results.ts';
import type { BenchContext } from './context.ts';

const switchNames = ['switch.loss', 'switch.flows'];
const fallbackNames = ['fallback.time', 'fallback.time.tcp'];
export const moveNames: readonly string[] = [...switchNames, ...fallbackNames];

/** Of the datagrams while the session moves: there and back, each second. */
const RATE = 5_000;
const SIZE = 1_000;
/** Three moves take 1 to 3 s, and 12 on a machine with ten others waiting: the load must outlast them. */
const BLAST_SECONDS = 20;
/** TCP flows beside them, each with a record of a kilobyte at this pace. */
const FLOWS = 8;
const RECORD = { everyMs: 5, size: 1_000 };
/** Time between two questions of an echo whose gap is measured. */
const GAP = { everyMs: 2, size: 64 };

export async function measureMoves(context: BenchContext): Promise<void> {
  await context.run('switch', () => switches(context), switchNames);
  await context.run('fallback', () => fallbacks(context), fallbackNames);
}

async function switches(context: BenchContext): Promise<void> {
  await using bed = await NetlabBed.start(context.generator);
  const lost: number[] = [];
  const flowsLost: number[] = [];
  const without: number[] = [];
  let cpu: CpuUse | undefined;
  for (let i = 0; i < context.repeat; i++) {
    without.push(lossOf(await blast(bed, BLAST_SECONDS / 10)));
    const moved = await moveUnderLoad(bed);
    lost.push(lossOf(moved.blast));
    flowsLost.push(moved.flowsLost);
    cpu = moved.cpu;
  }
  const notes = { moves: 3, datagrams: RATE * BLAST_SECONDS, lossWithoutMoves: Math.max(...without) };
  context.report({ name: 'switch.loss', unit: '%', samples: lost, cpu, notes });
  context.report({ name: 'switch.flows', unit: 'flows', samples: flowsLost, notes: { of: FLOWS } });
}

interface Moved {
  readonly blast: Blast;
  readonly cpu: CpuUse;
  readonly flowsLost: number;
}

/** By policy: relay to direct, back to the relay, and to direct again, while datagrams and TCP flows go on. */
async function moveUnderLoad(bed: NetlabBed): Promise<Moved> {
  bed.ztna.setDirect('deny');
  await bed.restartAgent();
  await bed.use();
  await bed.becomes('relayed');
  const flows = await Promise.all(Array.from({ length: FLOWS }, () => bed.echo('tcp', RECORD)));
  await Promise.all(flows.map((flow) => flow.alive()));
  let isOver = false;
  const tookMs: number[] = [];
  const load = withCpu(bed.roles, async () => [await blast(bed, BLAST_SECONDS)]).finally(() => {
    isOver = true;
  });
  load.catch(() => undefined);
  for (const [direct, path] of [
    ['allow', 'direct'],
    ['deny', 'relayed'],
    ['allow', 'direct'],
  ] as const) {
    const begin = performance.now();
    await bed.moves(path, () => bed.ztna.setDirect(direct));
    await Promise.all(flows.map((flow) => flow.alive()));
    tookMs.push(Math.round(performance.now() - begin));
  }
  if (isOver) {
    await load; // its own failure says more
    throw new Error(`the load was over before the session had moved three times, in ${tookMs.join(', ')} ms`);
  }
  const stats = await Promise.all(flows.map((flow) => flow.alive().catch(() => flow.stats())));
  const [[found], cpu] = await load;
  if (found === undefined) throw new Error('the load says nothing');
  await Promise.all(flows.map((flow) => flow.stop()));
  return { blast: found, cpu, flowsLost: stats.filter(({ ended }) => ended !== undefined).length };
}

function blast(bed: NetlabBed, seconds: number): Promise<Blast> {
  return bed.near.blast({
    ...{ via: 'udp', remote: bed.address('udp'), mode: 'echo' },
    ...{ size: SIZE, rate: RATE, seconds },
  });
}

function lossOf({ sent, received }: Blast): number {
  return 100 * (1 - received / sent);
}

/** The direct path carries nothing from one moment to the next, and nobody is told. */
async function fallbacks(context: BenchContext): Promise<void> {
  await using bed = await NetlabBed.start(context.generator);
  const udpGaps: number[] = [];
  const tcpGaps: number[] = [];
  for (let i = 0; i < context.repeat * 3; i++) {
    await bed.restartAgent();
    await bed.goDirect();
    const [udp, tcp] = await Promise.all([bed.echo('udp', GAP), bed.echo('tcp', GAP)]);
    await Promise.all([udp.alive(), tcp.alive()]);
    await bed.moves('relayed', () => bed.cutDirect());
    await Promise.all([udp.alive(), tcp.alive()]);
    udpGaps.push((await udp.stop()).longestGapMs);
    tcpGaps.push((await tcp.stop()).longestGapMs);
    await bed.mendDirect();
  }
  context.report({ name: 'fallback.time', unit: 'ms', samples: udpGaps });
  context.report({ name: 'fallback.time.tcp', unit: 'ms', samples: tcpGaps });
}
