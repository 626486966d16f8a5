import { expect, it } from 'vitest';
import { randomTraceBytes } from './random.ts';

it('no two flows get the same bytes, across fillings of the pool too', () => {
  const seen = Array.from({ length: 600 }, () => Buffer.from(randomTraceBytes()).toString('hex'));
  expect(new Set(seen).size).toBe(600);
  expect(seen.every((bytes) => bytes.length === 32)).toBe(true);
});
