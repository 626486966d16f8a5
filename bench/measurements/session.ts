// session.*: from an application's socket through agent, intermediate and connector to the backend and back.
import { withCpu } from '../process.ts';
import { median } from '../results.ts';
import { highestRate } from '../search.ts';
import { Stack } from '../stack.ts';
import { type BenchContext, times } from './context.ts';
import { ANY, MAX_RATE, type Plain } from './plain.ts';

const PINGS = 1_000;
const REQUESTS = 300;
/** For each repetition, beforehand: JavaScript that runs for weeks is compiled, and the first thousands find it as it was read. */
const WARM_UP = 2_000;
const START_RATE = 10_000;
/** The service that all measurements share, and those whose first use opens a session. */
const SHARED = 'bulk';
const OPENINGS = 8;

const transfers = [
  { name: 'session.tcp.up.1', direction: 'up', streams: 1 },
  { name: 'session.tcp.down.1', direction: 'down', streams: 1 },
  { name: 'session.tcp.up.8', direction: 'up', streams: 8 },
  { name: 'session.tcp.down.8', direction: 'down', streams: 8 },
] as const;

export const sessionNames = [
  ...['session.rtt', 'session.open', 'session.udp.echo.1200', 'session.http'],
  ...transfers.map((t) => t.name),
];

export async function measureSession(context: BenchContext, plain: Plain): Promise<void> {
  if (!sessionNames.some(context.wants)) return;
  const { generator, repeat } = context;
  const tcp = await generator.serve('backend', 'tcp-server', { listen: ANY });
  await using _tcp = tcp.role;
  const udp = await generator.serve('backend-udp', 'far', { via: 'udp', mode: 'echo', listen: ANY });
  await using _udp = udp.role;
  const fresh = Array.from({ length: OPENINGS * repeat }, (_, i) => `fresh-${i}`);
  await using stack = await Stack.start([SHARED, ...fresh], { tcp: tcp.ready, udp: udp.ready });
  const bed: Bed = { context, plain, stack, roles: [...stack.roles, tcp.role, udp.role] };
  await generator.times('http', { remote: stack.address(SHARED, 'tcp'), count: 20 }); // opens the shared session
  await context.run('session.rtt', () => roundTrip(bed));
  await context.run('session.open', () => openings(bed, fresh));
  await context.run('session.http', () => http(bed));
  await context.run('session.udp.echo.1200', () => udpEcho(bed));
  for (const transfer of transfers) await context.run(transfer.name, () => tcpStream(bed, transfer));
}

interface Bed {
  readonly context: BenchContext;
  readonly plain: Plain;
  readonly stack: Stack;
  readonly roles: Parameters<typeof withCpu>[0];
}

async function roundTrip({ context, plain, stack, roles }: Bed): Promise<void> {
  const baseline = await plain.rtt();
  const parameters = { via: 'udp', remote: stack.address(SHARED, 'udp'), size: 64, count: PINGS };
  const ping = () => context.generator.times('rtt', parameters);
  const [all, cpu] = await withCpu(roles, () => times(context.repeat, ping));
  const p99 = median(all.map((t) => t.p99Us));
  context.report({ name: 'session.rtt', unit: 'µs', samples: all.map((t) => t.p50Us), p99, baseline, cpu });
}

/** A program's first connection to a service: session set-up, connection to the backend, first byte. */
async function openings({ context, plain, stack, roles }: Bed, services: readonly string[]): Promise<void> {
  const baseline = await plain.http();
  const first = (service: string) =>
    context.generator.times('http', { remote: stack.address(service, 'tcp'), count: 1 });
  const [all, cpu] = await withCpu(roles, async () => {
    const taken = [];
    for (const service of services) taken.push(await first(service));
    return taken;
  });
  const each = all.map((t) => t.p50Us);
  const samples = Array.from({ length: context.repeat }, (_, i) =>
    median(each.slice(i * OPENINGS, (i + 1) * OPENINGS)),
  );
  context.report({ name: 'session.open', unit: 'µs', samples, p99: Math.max(...each), baseline, cpu });
}

async function http({ context, plain, stack, roles }: Bed): Promise<void> {
  const baseline = await plain.http();
  const parameters = { remote: stack.address(SHARED, 'tcp'), count: REQUESTS };
  const { p50Us: coldUs } = await context.generator.times('http', parameters);
  await context.generator.times('http', { ...parameters, count: context.repeat * WARM_UP });
  const [all, cpu] = await withCpu(roles, () =>
    times(context.repeat, () => context.generator.times('http', parameters)),
  );
  const p99 = median(all.map((t) => t.p99Us));
  const failed = all.reduce((sum, t) => sum + t.failed, 0);
  const samples = all.map((t) => t.p50Us);
  context.report({
    name: 'session.http',
    unit: 'µs',
    samples,
    p99,
    baseline,
    cpu,
    notes: { coldUs, failed },
  });
}

async function udpEcho({ context, plain, stack, roles }: Bed): Promise<void> {
  const baseline = await plain.rate('echo', 1200);
  const remote = stack.address(SHARED, 'udp');
  const parameters = { via: 'udp', remote, mode: 'echo', size: 1200, seconds: context.seconds };
  const run = (rate: number) => context.generator.blast({ ...parameters, rate: Math.round(rate) });
  const found = await highestRate(run, { start: START_RATE, max: MAX_RATE, repeat: context.repeat });
  const [[last], cpu] = await withCpu(roles, async () => [await run(median(found.samples))]);
  context.report({
    ...{ name: 'session.udp.echo.1200', unit: '/s', samples: found.samples, baseline, cpu },
    ...(last && {
      p99: last.p99Us,
      p99Unit: 'µs',
      notes: { limit: found.limit, p50Us: last.p50Us, p99Us: last.p99Us },
    }),
  });
}

async function tcpStream(
  { context, plain, stack, roles }: Bed,
  { name, direction, streams }: (typeof transfers)[number],
): Promise<void> {
  const baseline = await plain.tcp(direction, streams);
  const seconds = context.seconds * 2;
  const parameters = { remote: stack.address(SHARED, 'tcp'), direction, streams, seconds };
  const transfer = () => context.generator.transfer(parameters);
  await transfer(); // path-MTU discovery and slow start are not what is measured
  const [all, cpu] = await withCpu(roles, () => times(context.repeat, transfer));
  context.report({ name, unit: 'Mbit/s', samples: all.map((t) => t.mbps), baseline, cpu });
}
