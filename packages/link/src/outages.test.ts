import type { Logger } from '@ztna/runtime';
import type { IntermediateEntry } from '@ztna/wire';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Outages } from './outages.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test('an outage is told once, with where it was tried', () => {
  const { outages, warn } = arrange();
  for (let attempt = 0; attempt < 10; attempt++) {
    outages.connecting(RELAY);
    vi.advanceTimersByTime(1_000);
  }
  expect(warn.mock.calls).toEqual([[{ intermediate: 'i1', addresses: ['[::1]:4433'] }, 'out of reach']]);
});

test('one that is over in time is not told, and the next one is', () => {
  const { outages, warn } = arrange();
  outages.connecting(RELAY);
  vi.advanceTimersByTime(2_999);
  outages.over('i1');
  vi.advanceTimersByTime(10_000);
  expect(warn).not.toHaveBeenCalled();
  outages.connecting(RELAY);
  vi.advanceTimersByTime(3_000);
  expect(warn).toHaveBeenCalledOnce();
});

test('who refuses is not out of reach', () => {
  const { outages, warn } = arrange();
  outages.connecting(RELAY);
  outages.refused('i1');
  outages.connecting(RELAY);
  vi.advanceTimersByTime(10_000);
  expect(warn).not.toHaveBeenCalled();
});

test('disposed, it says nothing more', () => {
  const { outages, warn } = arrange();
  outages.connecting(RELAY);
  outages[Symbol.dispose]();
  vi.advanceTimersByTime(10_000);
  expect(warn).not.toHaveBeenCalled();
});

const RELAY = { name: 'i1', addresses: [{ host: '::1', port: 4433 }] } as unknown as IntermediateEntry;

function arrange() {
  const warn = vi.fn();
  return { warn, outages: new Outages({ warn } as unknown as Logger, 'out of reach') };
}
