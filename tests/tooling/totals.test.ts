import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { countCargo } from '../../scripts/test/cargo.ts';
import { judge, summary, type TierResult } from '../../scripts/test/report.ts';

const repository = join(import.meta.dirname, '../..');

test('the last line has the totals over all tiers', () => {
  const results = [
    tier({ tier: 'unit', passed: 40, failures: ['a > b'], skips: [{ test: 'c', reason: 'no network' }] }),
    tier({ tier: 'rust', passed: 2, failures: ['d', 'e'] }),
  ];

  const lines = summary(results);

  expect(lines.at(-1)).toBe('total: 42 passed, 3 failed, 1 skipped');
  expect(lines).toContain('  rust: e');
  expect(lines).toContain('  c: no network');
});

test('a tier far over its budget fails, one a little over it does not', () => {
  expect(judge(tier({ seconds: 29 }), false, []).failures).toEqual([]);
  expect(judge(tier({ seconds: 31 }), false, []).failures).toEqual(['took 31 s, more than 30 s']);
});

test('time spent compiling is not held against the budget', () => {
  expect(judge(tier({ compileSeconds: 1000 }), false, []).failures).toEqual([]);
});

test('a skip is a failure in CI, unless it is on the list', () => {
  const skipping = tier({ skips: [{ test: 'nat > symmetric', reason: 'no nft' }] });
  const allowed = [{ test: 'symmetric', reason: 'run by netlab' }];

  expect(judge(skipping, false, []).failures).toEqual([]);
  expect(judge(skipping, true, allowed)).toEqual(skipping);
  expect(judge(skipping, true, [])).toMatchObject({
    failures: [expect.stringContaining('symmetric')],
    skips: [],
  });
});

test('cargo: counts over several binaries, ignored tests with their reason', () => {
  const output = `
running 3 tests
test a::works ... ok
test a::breaks ... FAILED
test b::slow ... ignored, needs root
test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s
test result: ok. 7 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
`;

  expect(countCargo('cargo test', 101, output)).toEqual({
    passed: 8,
    failures: ['a::breaks'],
    skips: [{ test: 'b::slow', reason: 'needs root' }],
  });
});

test('cargo: a crash without any test line is a failure', () => {
  expect(countCargo('cargo test', 101, '').failures).toEqual(['cargo test (exit code 101)']);
});

test('vitest: passes, failures, skips with reason, files that do not load', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ztna-reporter-'));
  symlinkSync(join(repository, 'node_modules'), join(folder, 'node_modules'));
  writeFileSync(
    join(folder, 'a.test.ts'),
    `import { expect, test } from 'vitest';
     test('passes', () => {});
     test('fails', () => expect(1).toBe(2));
     test('skips', (context) => context.skip('no TUN here'));
     test.todo('later');`,
  );
  writeFileSync(join(folder, 'b.test.ts'), `throw new Error('does not load');`);
  const file = join(folder, 'summary.json');

  const reporter = join(repository, 'scripts/test/vitest-reporter.ts');
  const vitest = join(repository, 'node_modules/vitest/vitest.mjs');
  const run = spawnSync(process.execPath, [vitest, 'run', '--root', folder, `--reporter=${reporter}`], {
    env: { ...process.env, ZTNA_VITEST_SUMMARY: file },
    cwd: folder,
  });

  expect(run.status).toBe(1);
  expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual({
    passed: 1,
    failures: expect.arrayContaining(['a.test.ts > fails', 'b.test.ts: does not load']),
    skips: [
      { test: 'a.test.ts > skips', reason: 'no TUN here' },
      { test: 'a.test.ts > later', reason: '' },
    ],
  });
  rmSync(folder, { recursive: true });
});

function tier(some: Partial<TierResult>): TierResult {
  return {
    ...{ tier: 'unit', passed: 0, failures: [], skips: [], seconds: 0, compileSeconds: 0, budgetSeconds: 10 },
    ...some,
  };
}
