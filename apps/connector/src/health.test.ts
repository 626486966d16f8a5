import type { Logger } from '@ztna/runtime';
import type { ConnectorService, ServiceName } from '@ztna/wire';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Health, type HealthOptions } from './health.ts';

const web = { name: 'web' as ServiceName, targets: [{ transport: 'tcp' }] } as unknown as ConnectorService;
const settings = { intervalMs: 10_000, timeoutMs: 3_000, failures: 3, successes: 1 };

beforeEach(() => vi.useFakeTimers({ now: Date.UTC(2026, 0, 1) }));
afterEach(() => vi.useRealTimers());

it('a service of which no backend answers is a problem with its beginning, until one does', async () => {
  let answers = false;
  const events: string[] = [];
  const withdrawn: ServiceName[][] = [];
  const log = ({ event }: { event: string }) => events.push(event);
  const dialled = () => (answers ? { ok: true, value: { close: () => {} } } : { ok: false });
  using health = new Health({
    dialer: { tcp: async () => dialled() } as unknown as HealthOptions['dialer'],
    endpoint: {} as HealthOptions['endpoint'],
    settings,
    onWithdrawn: (services) => withdrawn.push([...services]),
    log: { info: log, warn: log } as unknown as Logger,
  });

  health.watch([web]);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(health.problems()).toEqual([]);
  await vi.advanceTimersByTimeAsync(20_000);
  expect(health.problems()).toMatchObject([{ code: 'service-withdrawn', since: '2026-01-01T00:00:20.000Z' }]);
  expect(health.services()).toEqual([{ name: 'web', withdrawn: true }]);

  answers = true;
  await vi.advanceTimersByTimeAsync(10_000);
  expect(health.problems()).toEqual([]);
  expect(health.services()).toEqual([{ name: 'web', withdrawn: false }]);
  expect(withdrawn).toEqual([['web'], []]);
  expect(events).toEqual(['service.withdrawn', 'service.back']);
});
