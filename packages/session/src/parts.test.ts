import type { RelayId } from '@ztna/wire';
import { describe, expect, it } from 'vitest';
import { Backoff, DEFAULT_BACKOFF } from './backoff.ts';
import { Outbox } from './outbox.ts';
import { Quotas, TokenBucket } from './quota.ts';
import { RELAY_ID_QUARANTINE_MS, RelayIds } from './relay-ids.ts';
import { Timers } from './timers.ts';

describe('Backoff', () => {
  it('tries at once, then within a second for half a minute, then up to ten seconds', () => {
    const backoff = new Backoff();
    backoff.restart(1_000);
    const delays = (now: number) => Array.from({ length: 12 }, () => backoff.next(now, 0.999_999));
    expect(delays(1_000)).toEqual([
      0, 250, 500, 1_000, 1_000, 1_000, 1_000, 1_000, 1_000, 1_000, 1_000, 1_000,
    ]);
    expect(new Set(delays(1_000 + DEFAULT_BACKOFF.fastMs))).toEqual(new Set([10_000]));
  });

  it('spreads over the upper half of a delay', () => {
    const backoff = new Backoff();
    backoff.restart(0);
    backoff.next(0, 0);
    expect([backoff.next(0, 0), backoff.next(0, 0.5)]).toEqual([125, 375]);
  });
});

describe('RelayIds', () => {
  it('gives small numbers from 1, none twice, and old ones again only after the quarantine', () => {
    const ids = new RelayIds();
    expect([ids.allocate(0), ids.allocate(0)]).toEqual([1, 2]);
    ids.release(1 as RelayId, 100);
    ids.release(1 as RelayId, 100);
    expect(ids.allocate(100 + RELAY_ID_QUARANTINE_MS - 1)).toBe(3);
    expect(ids.allocate(100 + RELAY_ID_QUARANTINE_MS)).toBe(1);
    expect(ids.allocate(100 + RELAY_ID_QUARANTINE_MS)).toBe(4);
    expect(ids.inUse).toBe(4);
    expect(RELAY_ID_QUARANTINE_MS).toBeGreaterThan(5_000);
  });
});

describe('TokenBucket', () => {
  it('allows the burst, then the rate, and does not mind a clock that goes back', () => {
    const bucket = new TokenBucket(2, 3, 1_000);
    const taken = (now: number) => Array.from({ length: 4 }, () => bucket.take(now));
    expect(taken(1_000)).toEqual([true, true, true, false]);
    expect(taken(2_000)).toEqual([true, true, false, false]);
    expect(bucket.take(0)).toBe(false);
    expect(taken(60_000)).toEqual([true, true, true, false]);
  });
});

describe('Quotas', () => {
  it('keeps those who are in debt and forgets the others', () => {
    const quotas = new Quotas<number>(1, 2);
    for (let key = 0; key < 10_000; key++) quotas.take(key, key * 10);
    expect(quotas.size).toBeLessThan(1_000);
    for (const allowed of [true, true, false]) expect(quotas.take(-1, 200_000)).toBe(allowed);
    for (let key = 0; key < 1_000; key++) quotas.take(key, 200_000);
    expect(quotas.take(-1, 200_000)).toBe(false);
    expect(quotas.take(-1, 201_000)).toBe(true);
  });
});

describe('Timers', () => {
  it('fire in order, once, where they were moved to, and not when cancelled', () => {
    const timers = new Timers<string>();
    for (const [key, at] of [
      ['a', 30],
      ['b', 10],
      ['c', 20],
      ['d', 5],
    ] as const)
      timers.set(key, at, key);
    timers.set('b', 40, 'b moved');
    timers.cancel('d');
    expect(timers.next()).toBe(20);
    const due = [];
    for (let timer = timers.takeDue(40); timer; timer = timers.takeDue(40)) due.push(timer);
    expect(due).toEqual(['c', 'a', 'b moved']);
    expect([timers.next(), timers.size]).toEqual([undefined, 0]);
  });

  it('keep their order through ten thousand moves', () => {
    const timers = new Timers<number>();
    for (let i = 0; i < 10_000; i++) timers.set(`t${i % 100}`, (i * 7_919) % 1_000, i);
    let last = -1;
    for (let at = timers.next(); at !== undefined; at = timers.next()) {
      expect(at).toBeGreaterThanOrEqual(last);
      last = at;
      timers.takeDue(at);
    }
    expect(timers.size).toBe(0);
  });
});

describe('Outbox', () => {
  it('gives outputs in order, also when more come while some are taken', () => {
    const outbox = new Outbox<number>();
    outbox.push(1);
    outbox.push(2);
    expect(outbox.take()).toBe(1);
    outbox.push(3);
    expect([outbox.take(), outbox.take(), outbox.take()]).toEqual([2, 3, undefined]);
  });
});
