// Runs the test tiers: `npm test [-- --tier NAME]… [--all]`. Started by test.sh after the set-up.
// The last line is exactly "total: N passed, N failed, N skipped", over all runners; the exit code is 1
// when anything failed, a tier took far over its budget, or (CI=true) a skip is not on the list.
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { isAllowed } from './test/skips.ts';
import { type Result, runStep, type Skip } from './test/steps.ts';
import { budgetFactor, type Tier, tiers } from './test/tiers.ts';

interface TierResult extends Result {
  readonly tier: string;
  readonly seconds: number;
  readonly compileSeconds: number;
  readonly budgetSeconds: number;
}

const { values: options } = parseArgs({
  options: {
    tier: { type: 'string', multiple: true, default: [] },
    all: { type: 'boolean', default: false },
  },
});
process.exitCode = await main();

async function main(): Promise<number> {
  const unknown = options.tier.filter((name) => !tiers.some((tier) => tier.name === name));
  if (unknown.length > 0) {
    console.error(`no tier ${unknown.join(', ')}; there are: ${tiers.map((tier) => tier.name).join(', ')}`);
    return 2;
  }
  const results = [setUp()];
  for (const tier of tiers.filter(isChosen)) results.push(await runTier(tier));
  report(results);
  return results.some((result) => result.failures.length > 0) ? 1 : 0;
}

function isChosen(tier: Tier): boolean {
  if (options.tier.length > 0) return options.tier.includes(tier.name);
  return options.all || !tier.extra;
}

/** test.sh ran it, or we would not be here; what is left to check is that this is the pinned Node. */
function setUp(): TierResult {
  const compileSeconds = Number(process.env.ZTNA_SETUP_SECONDS ?? 0);
  const pinned = process.execPath.includes('node_modules');
  const failures = pinned ? [] : [`runs on ${process.execPath}, not on the pinned Node: use npm test`];
  return {
    ...{ tier: 'setup', seconds: 0, compileSeconds, budgetSeconds: 1 },
    ...{ passed: pinned ? 1 : 0, failures, skips: [] },
  };
}

async function runTier(tier: Tier): Promise<TierResult> {
  const total = { passed: 0, failures: [] as string[], skips: [] as Skip[], seconds: 0, compileSeconds: 0 };
  for (const step of tier.steps) {
    console.log(`\n--- ${tier.name}: ${step.name}`);
    const started = performance.now();
    const result = await runStep(step);
    total[step.compiles ? 'compileSeconds' : 'seconds'] += (performance.now() - started) / 1000;
    total.passed += result.passed;
    total.failures.push(...result.failures);
    total.skips.push(...result.skips);
  }
  const limit = tier.budgetSeconds * budgetFactor;
  if (total.seconds > limit) total.failures.push(`took ${total.seconds.toFixed(0)} s, more than ${limit} s`);
  if (process.env.CI === 'true') {
    const refused = total.skips.filter((skip) => !isAllowed(skip));
    total.failures.push(
      ...refused.map((skip) => `skipped, not allowed in CI (scripts/test/skips.ts): ${skip.test}`),
    );
    total.skips = total.skips.filter((skip) => isAllowed(skip));
  }
  return { tier: tier.name, budgetSeconds: tier.budgetSeconds, ...total };
}

function report(results: readonly TierResult[]): void {
  const skips = results.flatMap((result) => result.skips);
  if (skips.length > 0) console.log('\nSKIPPED:');
  for (const { test, reason } of skips) console.log(`  ${test}: ${reason || 'NO REASON GIVEN'}`);
  const failed = results.filter((result) => result.failures.length > 0);
  if (failed.length > 0) console.log('\nFAILED:');
  for (const { tier, failures } of failed)
    for (const failure of failures) console.log(`  ${tier}: ${failure}`);

  console.log('\ntier         result   passed failed skipped   time / budget');
  for (const result of results) console.log(tableLine(result));
  const sum = (count: (result: TierResult) => number) =>
    results.reduce((total, result) => total + count(result), 0);
  console.log(
    `total: ${sum((r) => r.passed)} passed, ${sum((r) => r.failures.length)} failed, ${sum((r) => r.skips.length)} skipped`,
  );
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
