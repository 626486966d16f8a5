import { describe, expect, test } from 'vitest';
import { descriptors, ownMemoryKb, slope } from './memory.ts';

describe('slope', () => {
  test('of points on a line is that of the line', () => {
    expect(slope([500, 1000, 1500].map((n) => [n, 40_000 + 25 * n]))).toBeCloseTo(25);
  });

  test('lies between those of its parts', () => {
    const points = [
      [0, 0],
      [1, 30],
      [2, 50],
    ] as const;
    expect(slope(points)).toBe(25);
  });

  test.each([
    [[]],
    [[[1, 2]]],
    [
      [
        [1, 2],
        [1, 3],
      ],
    ],
  ] as [number, number][][][])('of %j is unknown', (points) => {
    expect(slope(points)).toBeNaN();
  });
});

test.runIf(process.platform === 'linux')('tells memory and descriptors of a process', () => {
  const kb = ownMemoryKb(process.pid);
  expect(kb).toBeGreaterThan(1_000);
  expect(kb).toBeLessThanOrEqual(process.resourceUsage().maxRSS);
  expect(descriptors(process.pid)).toBeGreaterThan(3);
});
