import type { Generator } from '../load.ts';
import type { Measured } from '../results.ts';

/** What every measurement is given. */
export interface BenchContext {
  readonly generator: Generator;
  /** Seconds of one trial. */
  readonly seconds: number;
  readonly repeat: number;
  /** Length of a soak. */
  readonly minutes: number;
  readonly wants: (name: string) => boolean;
  readonly say: (line: string) => void;
  readonly report: (measured: Measured) => void;
  readonly signal: AbortSignal;
  /**
   * Runs what measures `name`, or several `names` together, if one is wanted. A failure is reported, and the others
   * go on.
   */
  readonly run: (name: string, measure: () => Promise<void>, names?: readonly string[]) => Promise<void>;
}

export async function times<T>(n: number, run: () => Promise<T>): Promise<T[]> {
  const values: T[] = [];
  for (let i = 0; i < n; i++) values.push(await run());
  return values;
}
