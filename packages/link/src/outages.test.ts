import type { Logger } from '@ztna/runtime';
import type { IntermediateEntry } from '@ztna/wire';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Outages } from './outages.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test('an outage is told once, with where it was tried and the cause', async () => {
  const { outages, warn } = arrange();
  for (let attempt = 0; attempt < 60; attempt++) {
    outages.connecting(RELAY);
    await vi.advanceTimersByTimeAsync(1_000);
  }
  const addresses = ['[::1]:4433'];
  expect(warn.mock.calls).toEqual([
    [
      {
        event: 'intermediate.unreachable',
        intermediate: 'i1',
        addresses,
        since: expect.stringMatching(/Z$/),
        code: 'udp-blocked',
        cause: 'silence',
        remedy: 'wait',
      },
      'out of reach',
    ],
  ]);
  expect(outages.problems()).toEqual([outages.problem('i1')]);
  expect(outages.problem('i1')?.since).toBe(warn.mock.calls[0]?.[0].since);
});

test('another cause is told too', async () => {
  const { outages, warn, causes } = arrange();
  for (let attempt = 0; attempt < 60; attempt++) {
    outages.connecting(RELAY);
    await vi.advanceTimersByTimeAsync(1_000);
    if (attempt === 20) causes.code = 'no-route';
  }
  expect(warn.mock.calls.map(([fields]) => fields.code)).toEqual(['udp-blocked', 'no-route']);
  expect(outages.problem('i1')).toMatchObject({ code: 'no-route' });
});

test('one that is over in time is not told, and the next one is', async () => {
  const { outages, warn } = arrange();
  outages.connecting(RELAY);
  await vi.advanceTimersByTimeAsync(2_999);
  outages.over('i1');
  await vi.advanceTimersByTimeAsync(10_000);
  expect(warn).not.toHaveBeenCalled();
  outages.connecting(RELAY);
  await vi.advanceTimersByTimeAsync(3_000);
  expect(warn).toHaveBeenCalledOnce();
  outages.over('i1');
  expect(outages.problem('i1')).toBeUndefined();
});

test('one that is over while its cause is looked for is not told', async () => {
  const looking = Promise.withResolvers<{ code: string; message: string }>();
  const warn = vi.fn();
  const outages = new Outages({ warn } as unknown as Logger, 'out of reach', () => looking.promise);
  outages.connecting(RELAY);
  await vi.advanceTimersByTimeAsync(3_000);
  outages.over('i1');
  looking.resolve({ code: 'udp-blocked', message: 'silence' });
  await vi.advanceTimersByTimeAsync(0);
  expect(warn).not.toHaveBeenCalled();
  expect(outages.problems()).toEqual([]);
});

test('who refuses is not out of reach', async () => {
  const { outages, warn } = arrange();
  outages.connecting(RELAY);
  outages.refused('i1');
  outages.connecting(RELAY);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(warn).not.toHaveBeenCalled();
});

test('how the last connection ended is given to whoever looks for the cause, until there is another', async () => {
  const seen: unknown[] = [];
  const outages = new Outages({ warn: vi.fn() } as unknown as Logger, 'out of reach', async (_, losses) => {
    seen.push(losses.get('i1')?.stopped);
    return { code: 'udp-blocked', message: 'silence' };
  });
  for (const code of ['going-away', undefined]) {
    outages.lost('i1', 'a reason', code);
    outages.connecting(RELAY);
    await vi.advanceTimersByTimeAsync(3_000);
    outages.over('i1');
  }
  outages.connected('i1');
  outages.connecting(RELAY);
  await vi.advanceTimersByTimeAsync(3_000);
  expect(seen).toEqual([true, false, undefined]);
  outages.over('i1');
});

test('disposed, it says nothing more', async () => {
  const { outages, warn } = arrange();
  outages.connecting(RELAY);
  outages[Symbol.dispose]();
  await vi.advanceTimersByTimeAsync(10_000);
  expect(warn).not.toHaveBeenCalled();
});

const RELAY = { name: 'i1', addresses: [{ host: '::1', port: 4433 }] } as unknown as IntermediateEntry;

function arrange() {
  const warn = vi.fn();
  const causes = { code: 'udp-blocked', message: 'silence', remedy: 'wait' };
  const outages = new Outages({ warn } as unknown as Logger, 'out of reach', async () => ({ ...causes }));
  return { warn, causes, outages };
}
