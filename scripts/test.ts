// Runs the test tiers: `npm test [-- --tier NAME]… [--all]`. Started by test.sh after the set-up.
// The last line is exactly "total: N passed, N failed, N skipped", over all runners; the exit code is 1
// when anything failed, a tier took far over its budget, or (CI=true) a skip is not on the list.
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { judge, summary, type TierResult } from './test/report.ts';
import { allowedSkips } from './test/skips.ts';
import { runStep, type Skip } from './test/steps.ts';
import { type Tier, tiers } from './test/tiers.ts';

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
  for (const tier of tiers.filter(isChosen)) {
    results.push(judge(await runTier(tier), process.env.CI === 'true', allowedSkips));
  }
  for (const line of summary(results)) console.log(line);
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
  const passed = pinned ? 1 : 0;
  return { tier: 'setup', passed, failures, skips: [], seconds: 0, compileSeconds, budgetSeconds: 1 };
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
  return { tier: tier.name, budgetSeconds: tier.budgetSeconds, ...total };
}
