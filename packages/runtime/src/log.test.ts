import { expect, test } from 'vitest';
import { RuntimeFault } from './faults.ts';
import { createLogger } from './log.ts';

test('entries are JSON lines with time, level and component', () => {
  const { log, lines } = record('json');
  log.info({ event: 'session.opened', service: 'web' }, 'session opened');
  expect(JSON.parse(lines[0] ?? '')).toMatchObject({
    level: 'info',
    component: 'relay',
    event: 'session.opened',
    service: 'web',
    msg: 'session opened',
  });
  expect(JSON.parse(lines[0] ?? '').time).toMatch(/^\d{4}-\d\d-\d\dT.*Z$/);
});

test('secrets are never printed, at the top or one level below', () => {
  const { log, lines } = record('json');
  log.error(
    {
      event: 'test',
      token: 'abc',
      request: { authorization: 'Bearer abc' },
      identity: { privateKey: 'abc' },
    },
    'failed',
  );
  expect(lines[0]).not.toContain('abc');
  expect(lines[0]).toContain('[redacted]');
});

test('addresses of users are printed at debug alone', () => {
  const { log, lines } = record('json');
  log.info({ event: 'test', remoteAddress: '203.0.113.7:9', service: 'web' }, 'flow opened');
  log.debug({ event: 'test', remoteAddress: '203.0.113.7:9' }, 'flow opened');
  expect(lines[0]).not.toContain('203.0.113.7');
  expect(lines[0]).toContain('web');
  expect(lines[1]).toContain('203.0.113.7');
});

test('what is below the level is not printed', () => {
  const { log, lines } = record('json');
  log.trace({ event: 'test' }, 'unseen');
  expect(lines).toEqual([]);
});

test('the human format is one line, whatever a peer says', () => {
  const { log, lines } = record('human');
  log.warn({ event: 'offer.refused', service: 'a b', count: 2, peer: 'x\ny' }, 'refused\n12:00 INFO forged');
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatch(
    /^\d\d:\d\d:\d\d\.\d{3} WARN {2}relay: refused\\x0a12:00 INFO forged event=offer\.refused service="a b" count=2 peer="x\\ny"\n$/,
  );
});

test('the human format shows what is within a field as words', () => {
  const { log, lines } = record('human');
  const nat = { own: 'none', peer: 'unknown', rest: { 'a b': 1, 'x\n': 'y' } };
  log.info({ event: 'test', nat, addresses: ['127.0.0.1:4433', '[::1]:1'], none: {}, few: [] }, 'told');
  log.info({ event: 'test', said: ['a b', 'c'], list: [{ a: 1 }] }, 'told');
  expect(lines[0]).toMatch(
    /told event=test nat\.own=none nat\.peer=unknown nat\.rest\."a b"=1 nat\.rest\."x\\n"=y addresses=127\.0\.0\.1:4433,\[::1\]:1 none=\{\} few=\[\]\n$/,
  );
  expect(lines[1]).toMatch(/told event=test said=\["a b","c"\] list=\[\{"a":1\}\]\n$/);
});

test.each([
  ['a field', { reason: 'x\u009b2Jy\u202ez\u2028' }],
  ['a field within', { detail: { reason: 'x\u009b2J\u202e' } }],
  ['the name of a field within', { detail: { 'x\u009b2J\u202e\n12:00:00.000 INFO forged': 1 } }],
  ['one of several', { addresses: ['x\u009b2J\u202e', 'y\n12:00:00.000 INFO forged'] }],
  ['an error and its stack', { err: new Error('x\r\u001b[2K\n12:00:00.000 INFO forged\n    at y') }],
  ['the code of an error', { err: Object.assign(new Error('x'), { code: 'y\u001b[2K\n' }) }],
])('the human format moves no cursor by %s, and begins no line with it', (_what, fields) => {
  const { log, lines } = record('human');
  log.error({ event: 'test', ...fields }, 'failed');
  const text = lines.join('').replaceAll('\n    at ', '').slice(0, -1);
  expect(text).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
  expect(text).not.toMatch(/\n.*forged/);
});

test('the human format shows why, and the stack when somebody must act', () => {
  const { log, lines } = record('human');
  const err = Object.assign(new Error('refused'), { code: 'ECONNREFUSED' });
  log.info({ event: 'test', err }, 'not reachable');
  log.error({ event: 'test', err }, 'not reachable');
  expect(lines[0]).toMatch(/relay: not reachable event=test \(refused, ECONNREFUSED\)\n$/);
  expect(lines[1]).toMatch(/\(refused, ECONNREFUSED\)\n {4}at /);
});

test('a fault that is no bug has no stack', () => {
  const { log, lines } = record('json');
  const message = 'cannot read key.pem';
  for (const fault of ['config', 'internal'] as const) {
    log.warn(
      { event: 'test', err: new RuntimeFault({ code: 'key-unreadable', fault, message }) },
      'reload failed',
    );
  }
  const [config, internal] = lines.map((line) => JSON.parse(line).err);
  expect(config).toMatchObject({ code: 'key-unreadable', message });
  expect(config).not.toHaveProperty('stack');
  expect(internal.stack).toContain('log.test.ts');
});

function record(format: 'json' | 'human') {
  const lines: string[] = [];
  const log = createLogger({
    component: 'relay',
    level: 'debug',
    format,
    sink: { write: (line) => lines.push(line) },
  });
  return { log, lines };
}
