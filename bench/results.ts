/** CPU use over a measurement, by process: percent of one core. */
export type CpuUse = Readonly<Record<string, number>>;

export interface Result {
  readonly name: string;
  readonly unit: string;
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly p99?: number;
  /** Of `p99`: beside a rate it is a time. */
  readonly p99Unit?: string;
  /** The same with plain UDP or TCP between the same kind of processes. */
  readonly baseline?: number;
  /** median / baseline. */
  readonly ratio?: number;
  readonly goal?: string;
  readonly reached?: boolean;
  readonly cpu?: CpuUse;
  /** What was seen on the way: MTU reached, packets per system call, who was the limit. */
  readonly notes?: Readonly<Record<string, number | string>>;
}

export interface Goal {
  readonly text: string;
  readonly reached: (result: Pick<Result, 'median' | 'ratio'>) => boolean;
}

export interface Measured {
  readonly name: string;
  readonly unit: string;
  /** One value per repetition. */
  readonly samples: readonly number[];
  readonly p99?: number | undefined;
  /** When it is not `unit`. */
  readonly p99Unit?: string | undefined;
  readonly baseline?: number | undefined;
  readonly cpu?: CpuUse | undefined;
  readonly notes?: Result['notes'] | undefined;
}

/** What is to be reached (goal of the project on two cores); names not listed have no goal. */
export const goals: Readonly<Record<string, Goal>> = {
  'relay.rtt': atMostRatio(2.5),
  'session.rtt': atMostRatio(3.5),
  'relay.forward.echo.1200': atLeast(60_000),
  'relay.forward.oneway.1200': atLeast(120_000),
  'relay.forward.oneway.64': atLeast(300_000),
  'session.udp.echo.1200': atLeast(30_000),
  'session.tcp.up.1': atLeast(800),
  'session.tcp.down.1': atLeast(800),
  'session.tcp.up.8': atLeast(800),
  'session.tcp.down.8': atLeast(800),
  'session.http': atMost(600),
  'relay.overload': atLeast(90),
  'idle.memory': atMost(30),
  'idle.rtt': below(1.1),
  'idle.rtt.relay': below(1.1),
  'fair.rate': atLeast(90),
  'fair.queueing': below(20),
  'fair.session.rate': atLeast(90),
  'fair.session.queueing': below(20),
  'direct.open': atMost(50),
  'direct.open.20ms': atMost(3 * 20 + 50),
  'direct.rtt': atMostRatio(1.5),
  'direct.tcp.up.1': atLeast(2_000),
  'direct.tcp.down.1': atLeast(2_000),
  'switch.loss': below(0.1),
  'switch.flows': atMost(0),
  'fallback.time': atMost(350),
  'fallback.time.tcp': atMost(450),
  'soak.agent': atMost(105),
  'soak.intermediate': atMost(105),
  'soak.connector': atMost(105),
  'soak.left': atMost(0),
};

export function toResult(m: Measured): Result {
  const sorted = [...m.samples].sort((a, b) => a - b);
  const middle = median(sorted);
  const ratio = m.baseline === undefined ? undefined : middle / m.baseline;
  const goal = goals[m.name];
  return {
    name: m.name,
    unit: m.unit,
    median: round(middle),
    min: round(sorted[0] ?? 0),
    max: round(sorted.at(-1) ?? 0),
    ...(m.p99 !== undefined && { p99: round(m.p99), p99Unit: m.p99Unit ?? m.unit }),
    ...(m.baseline !== undefined && { baseline: round(m.baseline) }),
    ...(ratio !== undefined && { ratio: round(ratio) }),
    ...(goal && {
      goal: goal.text,
      reached: goal.reached({ median: middle, ...(ratio !== undefined && { ratio }) }),
    }),
    ...(m.cpu && { cpu: roundAll(m.cpu) }),
    ...(m.notes && { notes: roundAll(m.notes) }),
  };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  const upper = sorted[half] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[half - 1] ?? upper)) / 2;
}

/** The value that the share `q` of all does not exceed. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? Number.NaN;
}

/** One line per result, for people. */
export function table(results: readonly Result[]): string {
  const rows = results.map((r) => [
    r.name,
    `${show(r.median)} ${r.unit}`,
    `${show(r.min)} – ${show(r.max)}`,
    r.p99 === undefined ? '' : `${show(r.p99)}${r.p99Unit === r.unit ? '' : ` ${r.p99Unit}`}`,
    r.baseline === undefined ? '' : show(r.baseline),
    r.ratio === undefined ? '' : `${r.ratio} ×`,
    r.goal === undefined ? '' : `${r.goal} ${r.reached ? 'reached' : 'MISSED'}`,
    Object.entries(r.cpu ?? {})
      .map(([k, v]) => `${k} ${v} %`)
      .join(', '),
  ]);
  const all = [['name', 'median', 'spread', 'p99', 'baseline', 'ratio', 'goal', 'CPU'], ...rows];
  const widths = all[0]?.map((_, i) => Math.max(...all.map((row) => row[i]?.length ?? 0))) ?? [];
  return all
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

function atLeast(value: number): Goal {
  return { text: `≥ ${show(value)}`, reached: ({ median }) => median >= value };
}

function atMost(value: number): Goal {
  return { text: `≤ ${show(value)}`, reached: ({ median }) => median <= value };
}

function below(value: number): Goal {
  return { text: `< ${show(value)}`, reached: ({ median }) => median < value };
}

function atMostRatio(value: number): Goal {
  return { text: `≤ ${value} × baseline`, reached: ({ ratio }) => ratio !== undefined && ratio <= value };
}

function show(value: number): string {
  return value.toLocaleString('en-US', { maximumFractionDigits: value < 100 ? 2 : 0 });
}

/** Two decimals below 100, of small ones three digits. */
function round(value: number): number {
  const size = Math.abs(value);
  if (size >= 100) return Math.round(value);
  return size < 0.1 ? Number(value.toPrecision(3)) : Math.round(value * 100) / 100;
}

function roundAll<T extends number | string>(figures: Readonly<Record<string, T>>): Record<string, T> {
  const entries = Object.entries(figures).map(([name, value]) => [
    name,
    typeof value === 'number' ? round(value) : value,
  ]);
  return Object.fromEntries(entries) as Record<string, T>;
}
