import { expect, test } from 'vitest';
import { goals, quantile, toResult } from './results.ts';
import { names, netlabNames } from './select.ts';

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

test('every goal is of something that is measured', () => {
  const known = [...names, ...netlabNames];
  const isKnown = (name: string) => known.includes(name) || known.includes(name.replace(/\.\w+$/, ''));
  expect(Object.keys(goals).filter((name) => !isKnown(name))).toEqual([]);
});

test('no figure has digits that mean nothing, and each one a unit', () => {
  const notes = { lag: 1 / 3, mtu: 1452, limit: 'relay', small: 0.000123456 };
  const measured = { samples: [1234.5678], p99: 1.23456789, p99Unit: 'µs', cpu: { relay: 98.7654 }, notes };
  expect(toResult({ name: 'relay.forward', unit: '/s', ...measured })).toMatchObject({
    ...{ median: 1235, unit: '/s', p99: 1.23, p99Unit: 'µs', cpu: { relay: 98.77 } },
    notes: { lag: 0.33, mtu: 1452, limit: 'relay', small: 0.000123 },
  });
});
