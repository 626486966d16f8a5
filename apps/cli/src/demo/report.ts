import type { CheckResult } from './checks/check.ts';

/** The document of `--json`. */
export interface DemoReport {
  /** Whether all checks hold. */
  readonly ok: boolean;
  readonly checks: readonly CheckResult[];
}

/** A demonstration without checks shows nothing and is not all right. */
export function reportOf(checks: readonly CheckResult[]): DemoReport {
  return { ok: checks.length > 0 && checks.every(({ ok }) => ok), checks };
}

const titleWidth = 50;

/** One line of the table. */
export function row(title: string, { ok, skipped, ms, path, detail }: CheckResult): string {
  const mark = skipped ? '–' : ok ? '✓' : '✗';
  const way = path === 'none' ? '' : path;
  return `${mark} ${title.padEnd(titleWidth)} ${duration(ms).padStart(8)}  ${way.padEnd(8)} ${detail}`;
}

/** The sentence at the end. */
export function summary({ ok, checks }: DemoReport, ms: number): string {
  const skipped = checks.filter((check) => check.skipped).length;
  const failed = checks.filter((check) => !check.ok).map(({ name }) => name);
  const passed = checks.length - skipped - failed.length;
  const aside = skipped === 0 ? '' : `, ${skipped} could not be done here`;
  if (ok) return `All right: ${passed} checks hold${aside}, in ${duration(ms)}.`;
  return `Not all right: ${failed.join(', ')} failed; ${passed} of ${checks.length} checks hold${aside}.`;
}

/** `12 ms`, `3.4 s`. */
export function duration(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
