import { describe, expect, test } from 'vitest';
import { metricOf, type Reading, trend } from './soak-figures.ts';

describe('trend', () => {
  test('compares the last third with the first', () => {
    const { firstKb, lastKb, percent } = trend(
      every10s(30, (minutes) => 50_000 + (minutes < 10 ? 0 : 5_000)),
      'ownKb',
    );
    expect([firstKb, lastKb]).toEqual([50_000, 55_000]);
    expect(percent).toBeCloseTo(110);
  });

  test('takes the slope per hour where growing up is over', () => {
    const warmingUp = (minutes: number) => (minutes < 10 ? minutes * 1_000 : 10_000 + minutes * 2);
    expect(trend(every10s(30, warmingUp), 'ownKb').kbPerHour).toBeCloseTo(120);
  });

  test('knows nothing without readings', () => {
    expect(trend([], 'ownKb').percent).toBeNaN();
  });
});

describe('metricOf', () => {
  const text = [
    '# HELP ztna_sessions Sessions',
    '# TYPE ztna_sessions gauge',
    'ztna_sessions{component="intermediate"} 3',
    'ztna_sessions_more{component="intermediate"} 9',
    'ztna_drops{cause="a"} 2',
    'ztna_drops{cause="b"} 5',
    'plain 7',
  ].join('\n');

  test.each([
    ['ztna_sessions', 3],
    ['ztna_drops', 7],
    ['plain', 7],
    ['ztna_flows', undefined],
  ])('%s is %s', (name, value) => expect(metricOf(text, name)).toBe(value));
});

function every10s(minutes: number, kb: (minutes: number) => number): Reading[] {
  return Array.from({ length: minutes * 6 + 1 }, (_, i) => {
    return { minutes: i / 6, ownKb: kb(i / 6), heapKb: 0, descriptors: 20 };
  });
}
