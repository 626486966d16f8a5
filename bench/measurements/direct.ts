// direct.*: the whole way over a direct path, between hosts of the network lab.
import { NetlabBed } from '../netlab.ts';
import { withCpu } from '../process.ts';
import { median, quantile } from '../results.ts';
import { type BenchContext, times } from './context.ts';

const PINGS = 1_000;
const OPENINGS = 7;
/** Round trips between the hosts, ms, and what the openings at them are called. */
const opened = [
  { name: 'direct.open', rttMs: 0 },
  { name: 'direct.open.20ms', rttMs: 20 },
] as const;
const transfers = [
  { name: 'direct.tcp.up.1', direction: 'up' },
  { name: 'direct.tcp.down.1', direction: 'down' },
] as const;

const atOnce = ['direct.rtt', ...transfers.map(({ name }) => name)];
export const directNames: readonly string[] = [...opened.map(({ name }) => name), ...atOnce];

export async function measureDirect(context: BenchContext): Promise<void> {
  for (const { name, rttMs } of opened) await context.run(name, () => openings(context, name, rttMs));
  await context.run('direct', () => carried(context), atOnce);
}

/** From a session that is up, and from the application's request before, to a direct path in use. */
async function openings(context: BenchContext, name: string, rttMs: number): Promise<void> {
  await using bed = await NetlabBed.start(context.generator, rttMs > 0 ? { rttMs } : {});
  const fromUp: number[] = [];
  const fromRequest: number[] = [];
  for (let i = 0; i < OPENINGS * context.repeat; i++) {
    await bed.restartAgent();
    const { sinceUpMs, sinceRequestMs } = await bed.openDirect();
    fromUp.push(sinceUpMs);
    fromRequest.push(sinceRequestMs);
  }
  const notes = {
    rttMs,
    fromRequestP50Ms: median(fromRequest),
    fromRequestP99Ms: quantile(fromRequest, 0.99),
  };
  context.report({ name, unit: 'ms', samples: fromUp, p99: quantile(fromUp, 0.99), notes });
}

async function carried(context: BenchContext): Promise<void> {
  await using bed = await NetlabBed.start(context.generator);
  await bed.goDirect();
  await context.run('direct.rtt', () => roundTrip(context, bed));
  for (const transfer of transfers) await context.run(transfer.name, () => tcpStream(context, bed, transfer));
}

async function roundTrip(context: BenchContext, bed: NetlabBed): Promise<void> {
  const ping = (remote: string) => bed.near.times('rtt', { via: 'udp', remote, size: 64, count: PINGS });
  const plain: number[] = [];
  const [all, cpu] = await withCpu(bed.roles, () =>
    times(context.repeat, async () => {
      plain.push((await ping(bed.plain)).p50Us); // in turn, so that both meet the same neighbours
      return ping(bed.address('udp'));
    }),
  );
  const [baseline, p99] = [median(plain), median(all.map((t) => t.p99Us))];
  context.report({ name: 'direct.rtt', unit: 'µs', samples: all.map((t) => t.p50Us), p99, baseline, cpu });
}

async function tcpStream(
  context: BenchContext,
  bed: NetlabBed,
  { name, direction }: (typeof transfers)[number],
): Promise<void> {
  const seconds = context.seconds * 2;
  const transfer = (remote: string) => bed.near.transfer({ remote, direction, streams: 1, seconds });
  const plain = await times(context.repeat, () => transfer(bed.plain));
  const service = bed.address('tcp');
  await transfer(service); // path-MTU discovery and slow start are not what is measured
  const [all, cpu] = await withCpu(bed.roles, () => times(context.repeat, () => transfer(service)));
  const baseline = median(plain.map(({ mbps }) => mbps));
  context.report({ name, unit: 'Mbit/s', samples: all.map(({ mbps }) => mbps), baseline, cpu });
}
