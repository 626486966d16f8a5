import { Generator } from './load.ts';
import { describeMachine, type Machine } from './machine.ts';
import { measureCongestion } from './measurements/congestion.ts';
import type { BenchContext } from './measurements/context.ts';
import { measureDirect } from './measurements/direct.ts';
import { measureMoves } from './measurements/direct-moves.ts';
import { measureFair } from './measurements/fair.ts';
import { measureIdle } from './measurements/idle.ts';
import { Plain } from './measurements/plain.ts';
import { measureRelay } from './measurements/relay.ts';
import { measureSession } from './measurements/session.ts';
import { measureSoak } from './measurements/soak.ts';
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
  if (options.netlab) {
    await measureDirect(context);
    await measureMoves(context);
    return { machine, results, failed };
  }
  const plain = new Plain(context);
  await measureRelay(context, plain);
  await measureSession(context, plain);
  await measureFair(context);
  await measureIdle(context);
  await measureCongestion(context);
  await measureSoak(context);
  return { machine, results, failed };
}
