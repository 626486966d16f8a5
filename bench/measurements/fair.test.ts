import { describe, expect, test } from 'vitest';
import { figures, isGreedy } from './fair.ts';

describe('what a modest sender keeps', () => {
  test('is counted against what it sent, its delay against the repetition alone', () => {
    const alone = [blast(300, 300, 1_000), blast(300, 300, 9_000)];
    const beside = [blast(300, 270, 5_000), blast(300, 300, 9_500)];
    const { rates, queueing, notes } = figures('voice', 200, alone, beside);
    expect(rates).toEqual([90, 100]);
    expect(queueing).toEqual([4, 0.5]);
    expect(notes).toMatchObject({
      voiceRate: 95,
      voiceRateAlone: 100,
      voiceP99Us: 7_250,
      voiceP99UsAlone: 5_000,
    });
    expect(notes).not.toHaveProperty('voiceLimit');
  });

  test('tells when the generator did not offer its rate', () => {
    const { notes } = figures('voice', 200, [blast(300, 300, 0)], [blast(280, 280, 0)]);
    expect(notes).toHaveProperty('voiceLimit', 'generator');
  });
});

test.each([
  [1_000, 1_000, false],
  [1_000, 991, false],
  [1_000, 990, true],
  [1_000, 100, true],
])('%i sent and %i received: greedy %s', (sent, received, greedy) => {
  expect(isGreedy({ sent, received })).toBe(greedy);
});

function blast(sent: number, received: number, p99Us: number) {
  return { sent, received, seconds: 1.5, p50Us: 100, p99Us };
}
