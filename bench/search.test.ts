import { describe, expect, it } from 'vitest';
import type { Blast } from './load.ts';
import { highestRate, judge } from './search.ts';

/** A system that carries `capacity` a second, behind a generator that makes at most `generates`. */
function system(capacity: number, generates = Number.POSITIVE_INFINITY) {
  return async (rate: number): Promise<Blast> => {
    const sent = Math.min(rate, generates);
    return blast(sent, Math.min(sent, capacity));
  };
}

function blast(sent: number, received: number): Blast {
  return { sent, received, seconds: 1, cpuMs: 0, p50Us: 0, p99Us: 0, transport: null };
}

const options = { start: 1_000, max: 1_000_000, repeat: 3 };

describe('highestRate', () => {
  for (const capacity of [300, 1_000, 54_321, 640_000]) {
    it(`finds ${capacity}/s to within the tolerated loss and a step`, async () => {
      const { samples, limit } = await highestRate(system(capacity), options);
      expect(limit).toBe('loss');
      expect(samples).toHaveLength(3);
      for (const rate of samples) {
        expect(rate).toBeGreaterThan(capacity * 0.9);
        expect(rate).toBeLessThanOrEqual(capacity);
      }
    });
  }

  it('says when the generator is the limit', async () => {
    expect((await highestRate(system(1e9, 20_000), options)).limit).toBe('generator');
  });

  it('says when the search ended at its bound', async () => {
    expect((await highestRate(system(1e9), options)).limit).toBe('bound');
  });

  it('refuses a system that carries nothing', async () => {
    await expect(highestRate(system(0), options)).rejects.toThrow('not even');
  });
});

describe('judge', () => {
  it('counts 1 % as lost and less as carried', () => {
    expect(judge(1_000, blast(1_000, 990)).verdict).toBe('lost');
    expect(judge(1_000, blast(1_000, 991)).verdict).toBe('carried');
  });
});
