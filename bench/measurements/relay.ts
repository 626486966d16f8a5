// relay.*: opaque frames through the forwarding of one endpoint, and the handshakes with it.
import { withCpu } from '../process.ts';
import { type Mode, RelayBed } from '../relay-bed.ts';
import { type CpuUse, median } from '../results.ts';
import { highestRate } from '../search.ts';
import { type BenchContext, times } from './context.ts';
import { MAX_RATE, type Plain, START_RATE } from './plain.ts';

const PINGS = 1_000;
const HANDSHAKES = 40;
const forwards = [
  { name: 'relay.forward.echo.1200', mode: 'echo', size: 1200 },
  { name: 'relay.forward.oneway.1200', mode: 'sink', size: 1200 },
  { name: 'relay.forward.oneway.64', mode: 'sink', size: 64 },
] as const;

const OVERLOAD = 8;
const SENDERS = 4;

export const relayNames = [
  'relay.overload',
  'relay.rtt',
  ...forwards.map((f) => f.name),
  'handshake',
  'handshake.retry',
];

export async function measureRelay(context: BenchContext, plain: Plain): Promise<void> {
  if (!relayNames.some(context.wants)) return;
  await using bed = await RelayBed.start(context.generator);
  await context.run('relay.rtt', () => roundTrip(context, bed, plain));
  for (const forward of forwards) await context.run(forward.name, () => rate(context, bed, plain, forward));
  await context.run('relay.overload', () => overload(context, bed));
  for (const name of ['handshake', 'handshake.retry'] as const) {
    await context.run(name, () => handshakes(context, bed, plain, name));
  }
}

async function roundTrip(context: BenchContext, bed: RelayBed, plain: Plain): Promise<void> {
  const baseline = await plain.rtt();
  const parameters = { ...bed.near('echo'), size: 64, count: PINGS };
  const [all, cpu] = await withCpu(bed.roles, () =>
    times(context.repeat, () => context.generator.times('rtt', parameters)),
  );
  const samples = all.map((t) => t.p50Us);
  context.report({
    name: 'relay.rtt',
    unit: 'µs',
    samples,
    p99: median(all.map((t) => t.p99Us)),
    baseline,
    cpu,
  });
}

async function rate(
  context: BenchContext,
  bed: RelayBed,
  plain: Plain,
  { name, mode, size }: { name: string; mode: Mode; size: number },
): Promise<void> {
  const baseline = await plain.rate(mode, size);
  const parameters = { ...bed.near(mode), mode, size, seconds: context.seconds };
  const run = (rate: number) => context.generator.blast({ ...parameters, rate: Math.round(rate) });
  const found = await highestRate(run, { start: START_RATE, max: MAX_RATE, repeat: context.repeat });
  const before = await bed.relayStats();
  const [[last], cpu] = await withCpu(bed.roles, async () => [await run(median(found.samples))]);
  if (last === undefined) return;
  const after = await bed.relayStats();
  const t = last.transport;
  context.report({
    ...{ name, unit: '/s', samples: found.samples, p99: last.p99Us, p99Unit: 'µs', baseline, cpu },
    notes: {
      limit: found.limit,
      p50Us: last.p50Us,
      p99Us: last.p99Us,
      relayCpuUsPerDatagram: ratio(after.threadCpuMs - before.threadCpuMs, last.received / 1_000),
      relayLoopLagP99Ms: after.loopLagP99Ms,
      relayPacketsPerReceive: ratio(
        after.udp.rxPackets - before.udp.rxPackets,
        after.udp.rxCalls - before.udp.rxCalls,
      ),
      relayPacketsPerSend: ratio(
        after.udp.txPackets - before.udp.txPackets,
        after.udp.txCalls - before.udp.txCalls,
      ),
      relayLoopsPerDatagram: ratio(after.loops - before.loops, last.received),
      senderPacketsPerSend: t ? ratio(t.txPackets, t.txCalls) : 0,
      senderMtu: t?.mtu ?? 0,
      relayMtu: after.far[mode]?.mtu ?? 0,
    },
  });
}

/**
 * Several senders together offer a multiple of the peak: share of the peak that still arrives. The relay is slowed, for
 * the peak as for the overload. The senders run in the background: as real-time processes, each waits until the others
 * have used up their slices of 100 ms, and the relay with them.
 */
async function overload(context: BenchContext, bed: RelayBed): Promise<void> {
  const parameters = { ...bed.near('sink'), mode: 'sink', size: 1200, seconds: context.seconds };
  const blast = (rate: number) =>
    context.generator.blast({ ...parameters, rate: Math.round(rate) }, { background: true });
  await using _ = await bed.slowed(context.generator);
  const found = await highestRate(blast, { start: START_RATE / 4, max: MAX_RATE, repeat: context.repeat });
  const peak = median(found.samples);
  const each = (peak * OVERLOAD) / SENDERS;
  const samples: number[] = [];
  const shares: number[] = [];
  let cpu: CpuUse = {};
  let offered = 0;
  for (let i = 0; i < context.repeat; i++) {
    const all = () => Promise.all(Array.from({ length: SENDERS }, () => blast(each)));
    const [blasts, use] = await withCpu(bed.roles, all, true);
    const carried = blasts.map((b) => b.received / b.seconds);
    samples.push((carried.reduce((a, b) => a + b, 0) / peak) * 100);
    offered = blasts.reduce((all, b) => all + b.sent / b.seconds, 0) / peak;
    shares.push(Math.min(...carried) / Math.max(...carried));
    cpu = use;
  }
  const notes = {
    peak: Math.round(peak),
    senders: SENDERS,
    offered: ratio(offered, 1),
    leastShareOfGreatest: ratio(median(shares), 1),
  };
  context.report({ name: 'relay.overload', unit: '% of the peak', samples, cpu, notes });
}

async function handshakes(
  context: BenchContext,
  bed: RelayBed,
  plain: Plain,
  name: 'handshake' | 'handshake.retry',
): Promise<void> {
  const remote = name === 'handshake' ? bed.address : bed.retrying;
  const parameters = { ...bed.near('sink'), remote, count: HANDSHAKES };
  const [all, cpu] = await withCpu(bed.roles, () =>
    times(context.repeat, () => context.generator.times('handshake', parameters)),
  );
  const samples = all.map((t) => t.p50Us);
  const p99 = median(all.map((t) => t.p99Us));
  context.report({ name, unit: 'µs', samples, p99, baseline: await plain.rtt(), cpu });
}

function ratio(a: number, b: number): number {
  return b === 0 ? 0 : Math.round((a / b) * 100) / 100;
}
