import { expect, test } from 'vitest';
import { quantile, toResult } from './results.ts';

test.each([
  [0.5, 3],
  [0.99, 5],
  [0, 1],
])('the quantile %d of five values is %d', (q, expected) => {
  expect(quantile([5, 1, 4, 2, 3], q)).toBe(expected);
});

test('there is no quantile of nothing', () => {
  expect(quantile([], 0.99)).toBeNaN();
});

test.each([
  ['direct.rtt', { samples: [60, 50, 70], baseline: 40 }, { median: 60, ratio: 1.5, reached: true }],
  ['direct.rtt', { samples: [61], baseline: 40 }, { reached: false }],
  ['direct.open.20ms', { samples: [111] }, { goal: '≤ 110', reached: false }],
  ['switch.flows', { samples: [0, 0] }, { reached: true }],
  ['switch.loss', { samples: [0.1] }, { reached: false }],
])('%s with %j is judged', (name, measured, expected) => {
  expect(toResult({ name, unit: '', ...measured })).toMatchObject(expected);
});
