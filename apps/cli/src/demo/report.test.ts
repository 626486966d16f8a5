import { expect, test } from 'vitest';
import type { CheckResult } from './checks/check.ts';
import { pathOf } from './checks/run.ts';
import { reportOf, row, summary } from './report.ts';

const good: CheckResult = { name: 'http-get', ok: true, ms: 12.3, path: 'relayed', detail: '200' };
const bad: CheckResult = { name: 'upload', ok: false, ms: 3400, path: 'none', detail: 'reset' };
const skipped: CheckResult = {
  ...good,
  name: 'memory',
  skipped: true,
  path: 'none',
  detail: 'skipped: macOS',
};

test('all is right only if every check holds, and there is one', () => {
  expect(reportOf([good, skipped]).ok).toBe(true);
  expect(reportOf([good, bad]).ok).toBe(false);
  expect(reportOf([]).ok).toBe(false);
});

test('rows show mark, time and path', () => {
  expect(row('HTTP GET', good)).toMatch(/^✓ HTTP GET +12 ms {2}relayed {2}200$/);
  expect(row('upload', bad)).toMatch(/^✗ upload +3\.4 s +reset$/);
  expect(row('memory', skipped)).toMatch(/^– memory /);
});

test('the summary counts what was skipped and names what failed', () => {
  expect(summary(reportOf([good, skipped]), 1234)).toBe(
    'All right: 1 checks hold, 1 could not be done here, in 1.2 s.',
  );
  expect(summary(reportOf([good, bad]), 10)).toBe('Not all right: upload failed; 1 of 2 checks hold.');
});

test.each([
  [0, 5000, 'none'],
  [1000, 2500, 'relayed'],
  [1000, 1200, 'mixed'],
  [1000, 90, 'direct'],
])('%i bytes of which the tap saw %i went %s', (bytes, passed, path) => {
  expect(pathOf(bytes, passed)).toBe(path);
});
