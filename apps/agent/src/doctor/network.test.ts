import type { ComponentStatus } from '@ztna/link';
import { expect, test } from 'vitest';
import { checkClock, checkNat, checkUdp } from './network.ts';
import type { ProbeResult } from './probe.ts';

test.each<[string, readonly string[], string, string]>([
  ['no answer', [], 'skipped', ''],
  ['the own address', ['127.0.0.1:5000', '[::ffff:127.0.0.1]:5000'], 'ok', 'none'],
  ['one answer from behind a NAT', ['203.0.113.7:5000'], 'ok', 'unknown'],
  ['the same mapping twice', ['203.0.113.7:6000', '[::ffff:203.0.113.7]:6000'], 'ok', 'endpoint-independent'],
  ['another port each', ['203.0.113.7:6000', '203.0.113.7:6001'], 'nat-symmetric', 'symmetric'],
  ['another address each', ['203.0.113.7:6000', '203.0.113.8:6000'], 'nat-symmetric', 'symmetric'],
  ['one of each family', ['203.0.113.7:6000', '[2001:db8::7]:6001'], 'ok', 'unknown'],
])('NAT by %s', (_name, observed, code, kind) => {
  const check = checkNat(observed.map(answered), 5000);
  expect([check.code, check.facts?.kind ?? '']).toEqual([code, kind]);
});

test.each<[readonly number[], string, string]>([
  [[], 'ok', 'ok'],
  [[-200], 'ok', 'ok'],
  [[90_000], 'warn', 'clock-skew'],
  [[-3_600_000], 'fail', 'clock-skew'],
  [[3_600_000, 50], 'ok', 'ok'], // one intermediate is wrong, not this machine
])('clock %j', (aheadMs, status, code) => {
  expect(checkClock(aheadMs)).toMatchObject({ status, code });
});

test('a clock says in which direction', () => {
  expect(checkClock([90_000]).message).toBe("90 s behind the intermediate's");
  expect(checkClock([-90_000]).message).toBe("90 s ahead of the intermediate's");
});

test('UDP is blocked when nobody answers, and not when only one intermediate does not', () => {
  const problem = { code: 'udp-blocked', message: 'no answer', remedy: 'open it' };
  const silent: ProbeResult = { intermediate: 'i2', addresses: [], problem };
  expect(checkUdp([silent])(silent)).toMatchObject({ status: 'fail', code: 'udp-blocked' });
  expect(checkUdp([answered('192.0.2.9:1'), silent])(silent)).toMatchObject({
    ...{ status: 'warn', code: 'intermediate-silent' },
    message: expect.stringContaining('1 other intermediate answers'),
  });
});

test('what an agent that runs knows is what is said: one finding, one code', () => {
  const silent: ProbeResult = {
    ...{ intermediate: 'i2', addresses: [] },
    problem: { code: 'not-listening', message: 'nobody' },
  };
  const stopped = { code: 'intermediate-stopped', message: 'it said that it stops', remedy: 'start it' };
  const agent = running({ problems: [stopped] });
  expect(checkUdp([silent], [agent])(silent)).toMatchObject({
    ...stopped,
    message: `i2: ${stopped.message}`,
  });
  expect(checkUdp([answered('192.0.2.9:1'), silent], [agent])(silent)).toMatchObject({
    code: 'not-listening',
  });
});

test('direct sessions of an agent that runs show that UDP works', () => {
  const problem = { code: 'udp-blocked', message: 'no answer', remedy: 'open it' };
  const silent: ProbeResult = { intermediate: 'i2', addresses: [], problem };
  const path = (of: string) => ({ path: { path: of } });
  const agent = running({ sessions: [path('direct'), path('relayed'), {}] });
  expect(checkUdp([silent], [agent])(silent)).toMatchObject({
    ...{ status: 'fail', code: 'intermediate-silent' },
    message: expect.stringContaining('1 direct session answers'),
  });
});

function running(report: object): ComponentStatus {
  return { component: 'agent', problems: [], sessions: [], intermediates: [], ...report } as never;
}

function answered(observed: string): ProbeResult {
  const answer = { remote: '192.0.2.1:4433', rttMs: 1, observed, clockAheadMs: undefined };
  return { intermediate: 'i1', addresses: [], answer };
}
