import type { TapCounters } from '../tap/udp-tap.ts';
import { type Check, type CheckContext, CheckFailure, type CheckResult, type Path } from './check.ts';

/** Runs one check within its time. Never rejects, except when `context.signal` is aborted. */
export async function runCheck<C extends Pick<CheckContext, 'signal'>>(
  check: {
    readonly name: string;
    readonly timeoutMs: number;
    run(context: C): ReturnType<Check['run']>;
  },
  context: C,
  counters: () => Promise<TapCounters>,
): Promise<CheckResult> {
  const { name, timeoutMs } = check;
  const before = await counters();
  const started = performance.now();
  const done = (ok: boolean, path: Path, detail: string): CheckResult => {
    return { name, ok, ms: Math.round((performance.now() - started) * 10) / 10, path, detail };
  };
  const timeout = AbortSignal.timeout(timeoutMs);
  const signal = AbortSignal.any([context.signal, timeout]);
  try {
    const evidence = await withSignal(check.run({ ...context, signal }), signal);
    const result = done(true, 'none', evidence.detail);
    const passed = (await counters()).bytes - before.bytes;
    return {
      ...result,
      path: pathOf(evidence.bytes, passed),
      ...(evidence.skipped ? { skipped: true as const } : {}),
    };
  } catch (error) {
    if (context.signal.aborted) throw context.signal.reason;
    const late = timeout.aborted && !(error instanceof CheckFailure);
    return done(false, 'none', late ? `not done within ${timeoutMs / 1000} s` : describe(error));
  }
}

/**
 * Relayed bytes pass the tap twice: from one side into the intermediate, and out of it to the other. A byte that
 * went another way does not pass it at all.
 */
export function pathOf(bytes: number, passed: number): Path {
  if (bytes === 0) return 'none';
  if (passed >= 2 * bytes) return 'relayed';
  return passed >= bytes / 2 ? 'mixed' : 'direct';
}

/** What an error says, with the causes that Node hides behind `fetch failed`. */
export function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code } = error as NodeJS.ErrnoException;
  const text = error.message || code || error.name;
  const inner = error instanceof AggregateError ? error.errors[0] : error.cause;
  return inner === undefined ? text : `${text}: ${describe(inner)}`;
}

/** A check that does not look at its signal is left alone at the end of its time. */
function withSignal<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort);
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
