import { expect, test } from 'vitest';
import { natPmpRestarted, pcpRestarted } from './epoch.ts';

const before = { seconds: 10_000, at: 0 };

test.each([
  [10_100, 100, false],
  [10_000, 1, false],
  [9_999, 1, false],
  [9_998, 0, true],
  [0, 100, true],
  [10_107, 100, false],
  [10_120, 100, true],
  [10_090, 100, true],
  [10_093, 100, false],
])('PCP: an epoch of %i after %i s: restarted %s', (seconds, after, restarted) => {
  expect(pcpRestarted(before, { seconds, at: after * 1000 })).toBe(restarted);
});

test.each([
  [10_100, 100, false],
  [10_086, 100, false],
  [10_085, 100, true],
  [0, 100, true],
  [20_000, 100, false],
])('NAT-PMP: an epoch of %i after %i s: restarted %s', (seconds, after, restarted) => {
  expect(natPmpRestarted(before, { seconds, at: after * 1000 })).toBe(restarted);
});
