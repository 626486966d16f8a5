import { expect, test } from 'vitest';
import { asStatus } from './inner.ts';

test('a verdict is shown with an instant and no digits that mean nothing', () => {
  const since = Date.parse('2026-03-01T12:00:00Z') + 7.25;
  const verdict = { path: 'direct', since, remedy: '', nat: { own: 'none' } } as const;
  expect(asStatus({ ...verdict, rttMs: 12.345678901234, loss: 1 / 3, mtu: 1414 })).toEqual({
    ...{ path: 'direct', nat: { own: 'none' }, mtu: 1414 },
    ...{ since: '2026-03-01T12:00:00.007Z', rttMs: 12.35, loss: 0.3333 },
  });
  expect(asStatus({ ...verdict, remedy: 'wait' })).toEqual({
    ...{ path: 'direct', nat: { own: 'none' }, since: '2026-03-01T12:00:00.007Z', remedy: 'wait' },
  });
});
