import { Generator } from './load.ts';
import { describeMachine, type Machine } from './machine.ts';
import type { BenchContext } from './measurements/context.ts';
import { loopbackGroups, netlabGroups } from './measurements/index.ts';
import { Plain } from './measurements/plain.ts';
import { type Result, toResult } from './results.ts';
import { selects } from './select.ts';

export interface BenchOptions {
  /** Names, or beginnings of names that end with `.` or `*`; empty means all. */
  readonly only: readonly string[];
  /** What needs hosts of the network lab, and nothing else. */
  readonly netlab: boolean;
  readonly seconds: number;
  readonly repeat: number;
  /** Length of a soak. */
  readonly minutes: number;
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
}

export interface BenchReport {
  readonly machine: Machine;
  readonly results: readonly Result[];
  /** What could not be measured. */
  readonly failed: readonly { readonly name: string; readonly reason: string }[];
}

export async function runBench(options: BenchOptions): Promise<BenchReport> {
  const machine = describeMachine();
  const results: Result[] = [];
  const failed: { name: string; reason: string }[] = [];
  const wants = (name: string) => !options.signal.aborted && selects(options.only, name);
  const context: BenchContext = {
    ...options,
    generator: Generator.build(options.say),
    wants,
    run: async (name, measure, names = [name]) => {
      if (!names.some(wants)) return;
      try {
        await measure();
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        for (const each of names.filter(wants)) failed.push({ name: each, reason });
        options.say(`${name}: could not be measured: ${reason}`);
      }
    },
    report: (measured) => {
      const result = toResult(measured);
      results.push(result);
      options.say(`${result.name}: ${result.median} ${result.unit}`);
    },
  };
  const plain = new Plain(context);
  for (const { measure } of options.netlab ? netlabGroups : loopbackGroups) await measure(context, plain);
  return { machine, results, failed };
}
