// fair.*: what a modest sender keeps while a greedy one sends as much as it can to the same far end.
import type { Blast, Parameters } from '../load.ts';
import { type Role, withCpu } from '../process.ts';
import { RelayBed } from '../relay-bed.ts';
import { type CpuUse, median } from '../results.ts';
import { OFFERED, TOLERATED_LOSS } from '../search.ts';
import { Stack } from '../stack.ts';
import type { BenchContext } from './context.ts';
import { ANY, NOWHERE } from './plain.ts';

/** Voice, and a stream of 5 Mbit/s. */
const modest = [
  { kind: 'voice', rate: 200, size: 200 },
  { kind: 'stream', rate: 521, size: 1200 },
] as const;
type Kind = (typeof modest)[number]['kind'];
const SECONDS = 1.5;
const LEAD_SECONDS = 0.3;
/** The modest one is over before: it needs a second to connect. */
const GREEDY_SECONDS = SECONDS + 2;
/** Datagrams of 1200 bytes a second, several times what can be carried: by a slowed relay, by agent and connector. */
const RELAY_GREED = 160_000;
const SESSION_GREED = 200_000;
const SERVICE = 'sink';

export const fairNames = ['fair.rate', 'fair.queueing', 'fair.session.rate', 'fair.session.queueing'];

export async function measureFair(context: BenchContext): Promise<void> {
  await context.run('fair', () => throughRelay(context), fairNames.slice(0, 2));
  await context.run('fair.session', () => theWholeWay(context), fairNames.slice(2));
}

async function throughRelay(context: BenchContext): Promise<void> {
  await using bed = await RelayBed.start(context.generator);
  await using _ = await bed.slowed(context.generator);
  const sender = bed.near('sink');
  await contend(context, {
    ...{ name: 'fair', roles: bed.roles, modest: sender },
    greedy: { ...sender, rate: RELAY_GREED },
  });
}

/**
 * Two agents, each with a session of its own to one connector, through one intermediate. Both cores are full: what the
 * kernel does for the network waits for real-time processes then, up to 50 ms at a time, so only the modest sender is one.
 */
async function theWholeWay(context: BenchContext): Promise<void> {
  const background = { background: true };
  const far = { via: 'udp', mode: 'sink', listen: ANY };
  const { role, ready } = await context.generator.serve('backend', 'far', far, background);
  await using _ = role;
  await using stack = await Stack.start([SERVICE], { tcp: NOWHERE, udp: ready }, background);
  await using guest = await stack.startAgent('guest');
  await contend(context, {
    ...{ name: 'fair.session', roles: [...stack.roles, guest.role, role] },
    modest: { via: 'udp', remote: stack.address(SERVICE, 'udp') },
    greedy: { via: 'udp', remote: guest.address(SERVICE, 'udp'), rate: SESSION_GREED },
  });
}

type Counted = Pick<Blast, 'sent' | 'received' | 'seconds' | 'p50Us' | 'p99Us'>;

interface Contest {
  readonly name: string;
  readonly roles: readonly Role[];
  readonly modest: Parameters;
  readonly greedy: Parameters;
}

/** With and without the greedy one in turn, so that a machine that grows slower does not decide. */
async function contend(context: BenchContext, contest: Contest): Promise<void> {
  const { generator, repeat } = context;
  const common = { mode: 'sink', seconds: SECONDS };
  const alone: Record<Kind, Blast[]> = { voice: [], stream: [] };
  const beside: Record<Kind, Blast[]> = { voice: [], stream: [] };
  const greedyRates: number[] = [];
  let cpu: CpuUse = {};
  for (let i = 0; i < repeat; i++) {
    for (const { kind, rate, size } of modest) {
      const run = () => generator.blast({ ...contest.modest, ...common, rate, size, lead: LEAD_SECONDS });
      alone[kind].push(await run());
      const greed = { ...contest.greedy, ...common, seconds: GREEDY_SECONDS, size: 1200 };
      // A real-time sender that is never idle makes the others wait for the end of its slice, 100 ms.
      await using greedy = await generator.start(greed, { background: true });
      const [[blast], use] = await withCpu(contest.roles, async () => [await run()]);
      if (await isOver(greedy.blast)) throw new Error('the greedy sender ended before the modest one');
      const { sent, received, seconds } = await greedy.blast;
      if (!isGreedy({ sent, received })) {
        const carried = Math.round(received / seconds);
        throw new Error(
          `all ${carried}/s of the greedy sender got through: nobody had to wait. Is the machine busy?`,
        );
      }
      greedyRates.push(received / seconds);
      if (blast) beside[kind].push(blast);
      cpu = use;
    }
  }
  const each = modest.map(({ kind, rate }) => figures(kind, rate, alone[kind], beside[kind]));
  const notes = Object.assign({ greedyRate: Math.round(median(greedyRates)) }, ...each.map((f) => f.notes));
  const worst = (pick: (f: (typeof each)[number]) => readonly number[], choose: typeof Math.max) =>
    alone.voice.map((_, i) => choose(...each.map((f) => pick(f)[i] ?? Number.NaN)));
  const rates = worst((f) => f.rates, Math.min);
  const queueing = worst((f) => f.queueing, Math.max);
  const found = [
    { name: `${contest.name}.rate`, unit: '%', samples: rates },
    { name: `${contest.name}.queueing`, unit: 'ms', samples: queueing },
  ];
  for (const each of found) if (context.wants(each.name)) context.report({ ...each, cpu, notes });
}

/** Per repetition: percent that arrived of what it sent, and how much later the 99th percentile was than alone. */
export function figures(kind: string, rate: number, alone: readonly Counted[], beside: readonly Counted[]) {
  const arrived = ({ received, sent }: Counted) => (received / sent) * 100;
  const offered = Math.min(...[...alone, ...beside].map((b) => b.sent / (rate * b.seconds)));
  const rates = beside.map(arrived);
  const queueing = beside.map((b, i) => (b.p99Us - (alone[i]?.p99Us ?? Number.NaN)) / 1_000);
  const of = (blasts: readonly Counted[], pick: (b: Counted) => number) =>
    Math.round(median(blasts.map(pick)) * 10) / 10;
  return {
    ...{ rates, queueing },
    notes: {
      [`${kind}Rate`]: Math.round(median(rates) * 10) / 10,
      [`${kind}RateAlone`]: of(alone, arrived),
      ...(offered < OFFERED && { [`${kind}Limit`]: 'generator' }),
      [`${kind}P50Us`]: of(beside, (b) => b.p50Us),
      [`${kind}P99Us`]: of(beside, (b) => b.p99Us),
      [`${kind}P99UsAlone`]: of(alone, (b) => b.p99Us),
    },
  };
}

/** Whether a sender offered more than it could have: some of it was lost. */
export function isGreedy({ sent, received }: { readonly sent: number; readonly received: number }): boolean {
  return received <= sent * (1 - TOLERATED_LOSS);
}

async function isOver(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol('pending');
  return (await Promise.race([promise, Promise.resolve(pending)])) !== pending;
}
