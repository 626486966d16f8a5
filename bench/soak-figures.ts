import { slope } from './memory.ts';
import { median } from './results.ts';

/** Memory of one process at one time. */
export interface Reading {
  /** Since the start of the soak. */
  readonly minutes: number;
  readonly ownKb: number;
  readonly heapKb: number;
  readonly descriptors: number;
}

export interface Trend {
  /** Medians of the first and of the last third of the time. */
  readonly firstKb: number;
  readonly lastKb: number;
  /** Last in percent of first. */
  readonly percent: number;
  /** Least-squares slope over all but the first third. */
  readonly kbPerHour: number;
}

/** How memory went over the time that the readings span. NaN where a third holds no reading. */
export function trend(readings: readonly Reading[], of: 'ownKb' | 'heapKb'): Trend {
  const end = readings.at(-1)?.minutes ?? 0;
  const from = (share: number) => readings.filter(({ minutes }) => minutes >= end * share);
  const third = (part: readonly Reading[]) => median(part.map((r) => r[of]));
  const firstKb = third(readings.filter(({ minutes }) => minutes < end / 3));
  const lastKb = third(from(2 / 3));
  const kbPerHour = slope(from(1 / 3).map((r) => [r.minutes / 60, r[of]]));
  return { firstKb, lastKb, percent: (lastKb / firstKb) * 100, kbPerHour };
}

/** Sum of the values of a metric, over its labels, in Prometheus' text. Undefined when it is not there. */
export function metricOf(text: string, name: string): number | undefined {
  const lines = text.split('\n').filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
  if (lines.length === 0) return undefined;
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}
