// What `npm test` prints at its end, from the results of its tiers. Pure, so that it is tested itself.
import type { Result } from './steps.ts';

/** Machines are noisy; a tier that takes this many times its budget has a defect, not bad luck. */
export const budgetFactor = 3;

export interface TierResult extends Result {
  readonly tier: string;
  readonly seconds: number;
  /** Spent in steps that compile, not held against the budget. */
  readonly compileSeconds: number;
  readonly budgetSeconds: number;
}

export interface AllowedSkip {
  /** Part of the test's full name. */
  readonly test: string;
  /** Why CI cannot run it, and where it is run instead. */
  readonly reason: string;
}

/** Makes a failure of a tier far over its budget and, in CI, of each skip that is not on the list. */
export function judge(result: TierResult, ci: boolean, allowed: readonly AllowedSkip[]): TierResult {
  const failures = [...result.failures];
  const limit = result.budgetSeconds * budgetFactor;
  if (result.seconds > limit) failures.push(`took ${result.seconds.toFixed(0)} s, more than ${limit} s`);
  if (!ci) return { ...result, failures };
  const isAllowed = (name: string) => allowed.some(({ test }) => name.includes(test));
  const skips = result.skips.filter(({ test }) => isAllowed(test));
  const refused = result.skips.filter(({ test }) => !isAllowed(test));
  failures.push(...refused.map(({ test }) => `skipped, not allowed in CI (scripts/test/skips.ts): ${test}`));
  return { ...result, failures, skips };
}

/** @returns skips with reasons, failures by tier, a table, and the totals as the last line. */
export function summary(results: readonly TierResult[]): string[] {
  const skips = results.flatMap((result) => result.skips);
  const failures = results.flatMap(({ tier, failures }) =>
    failures.map((failure) => `  ${tier}: ${failure}`),
  );
  const passed = results.reduce((sum, result) => sum + result.passed, 0);
  return [
    ...(skips.length > 0 ? ['', 'SKIPPED:'] : []),
    ...skips.map(({ test, reason }) => `  ${test}: ${reason || 'NO REASON GIVEN'}`),
    ...(failures.length > 0 ? ['', 'FAILED:'] : []),
    ...failures,
    '',
    'tier         result   passed failed skipped   time / budget',
    ...results.map(tableLine),
    `total: ${passed} passed, ${failures.length} failed, ${skips.length} skipped`,
  ];
}

function tableLine(result: TierResult): string {
  const { tier, passed, failures, skips, seconds, compileSeconds, budgetSeconds } = result;
  const cells = [
    tier.padEnd(12),
    (failures.length > 0 ? 'FAILED' : 'ok').padEnd(8),
    ...[passed, failures.length, skips.length].map((count) => String(count).padStart(6)),
    `${seconds.toFixed(1).padStart(8)} s / ${budgetSeconds} s`,
  ];
  return (
    cells.join(' ') +
    (compileSeconds > 1 ? ` (and ${compileSeconds.toFixed(0)} s of set-up or compiling)` : '')
  );
}
