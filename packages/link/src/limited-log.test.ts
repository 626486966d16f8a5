import { VirtualClock } from '@ztna/runtime';
import { createLogger } from '@ztna/runtime/log';
import { expect, test } from 'vitest';
import { limitLog } from './limited-log.ts';

test('the first lines of each peer and cause are written at once, the rest is counted and told', () => {
  const { log, lines, clock, leftOut } = arrange();
  for (let i = 0; i < 20_000; i++) refused(log, 'mallory', 'not-authorized');
  refused(log, 'mallory', 'limit');
  refused(log, 'laptop', 'not-authorized');
  expect(lines).toHaveLength(22);
  expect(leftOut).toEqual({ 'flow.ended': 19_980 });
  clock.advance(60_000);
  expect(lines).toHaveLength(23);
  expect(lines.at(-1)).toMatchObject({
    ...{ level: 'info', event: 'log.left-out', of: 'flow.ended', leftOut: 19_980 },
    ...{ causes: { 'not-authorized': 19_980 }, from: ['mallory'] },
  });
});

test('a minute later they are written again, and what was left out before is told first', () => {
  const { log, lines, clock } = arrange();
  for (let i = 0; i < 30; i++) log.warn({ event: 'intermediate.error', intermediate: 'i1', code: 'x' }, 's');
  clock.advance(59_999);
  expect(lines).toHaveLength(20);
  clock.advance(1);
  log.warn({ event: 'intermediate.error', intermediate: 'i1', code: 'x' }, 's');
  expect(lines.slice(20)).toMatchObject([
    { level: 'warn', event: 'log.left-out', leftOut: 10 },
    { event: 'intermediate.error' },
  ]);
});

test('nothing is told of a minute in which nothing was left out', () => {
  const { log, lines, clock } = arrange();
  for (let minute = 0; minute < 3; minute++) {
    for (let i = 0; i < 20; i++) refused(log, 'laptop', 'limit');
    clock.advance(60_000);
  }
  expect(lines).toHaveLength(60);
});

test('names that a peer invents have a bound together', () => {
  const { log, lines } = arrange();
  for (let i = 0; i < 5_000; i++) refused(log, `invented-${i}`, 'limit');
  log[Symbol.dispose]();
  expect(lines).toHaveLength(1_001);
  expect(lines.at(-1)).toMatchObject({
    leftOut: 4_000,
    from: ['others', expect.anything(), ...Array(3).fill(expect.anything())],
  });
});

test('the end tells what was left out', () => {
  const { log, lines } = arrange();
  for (let i = 0; i < 25; i++) refused(log, 'laptop', 'limit');
  log[Symbol.dispose]();
  expect(lines.at(-1)).toMatchObject({ event: 'log.left-out', leftOut: 5 });
  log[Symbol.dispose]();
  expect(lines).toHaveLength(21);
});

test('peers without an identity are told apart by their address, which is not shown', () => {
  const { log, lines } = arrange();
  const peer = (remoteAddress: string) =>
    log.info({ event: 'peer.refused', code: 'expired', remoteAddress }, 'refused');
  for (let port = 1; port <= 100; port++) peer(`192.0.2.1:${port}`);
  peer('[2001:db8::1]:9');
  expect(lines).toHaveLength(21);
  log[Symbol.dispose]();
  expect(lines.at(-1)).toMatchObject({ leftOut: 80, from: [] });
  expect(JSON.stringify(lines)).not.toContain('192.0.2.1');
});

test('a peer has no more lines for all the addresses of its network', () => {
  const { log, lines } = arrange();
  const peer = (remoteAddress: string) =>
    log.info({ event: 'peer.refused', code: 'expired', remoteAddress }, 'refused');
  for (let n = 1; n <= 500; n++) peer(`[2001:db8:0:7:${n.toString(16)}:2:3:4]:9`);
  for (let n = 1; n <= 500; n++) peer(`[2001:db8:0:8::${n.toString(16)}]:9`);
  expect(lines).toHaveLength(40);
});

test('who comes as somebody else takes no lines of others who do', () => {
  const { log, lines } = arrange();
  const wrong = (got: string) => log.warn({ event: 'inner.wrong-identity', expected: 'laptop', got }, 's');
  for (let i = 0; i < 30; i++) wrong('mallory');
  wrong('phone');
  expect(lines.at(-1)).toMatchObject({ event: 'inner.wrong-identity', got: 'phone' });
  log[Symbol.dispose]();
  expect(lines.at(-1)).toMatchObject({ leftOut: 10, from: ['mallory'] });
});

test('an agent takes no lines of other agents behind the same intermediate, and is named', () => {
  const { log, lines } = arrange();
  const refuse = (agent: string, intermediate = 'i1') =>
    log.info({ event: 'offer.refused', intermediate, session: agent, agent, code: 'limit' }, 's');
  for (let i = 0; i < 30; i++) refuse('mallory');
  refuse('laptop');
  expect(lines.at(-1)).toMatchObject({ agent: 'laptop' });
  log[Symbol.dispose]();
  expect(lines.at(-1)).toMatchObject({ leftOut: 10, from: ['i1 mallory'] });
});

test('agents that an intermediate invents take no lines of other intermediates', () => {
  const { log, lines } = arrange();
  const refuse = (agent: string, intermediate: string) =>
    log.info({ event: 'offer.refused', intermediate, session: agent, agent, code: 'limit' }, 's');
  for (let i = 0; i < 5_000; i++) refuse(`invented-${i}`, 'i1');
  expect(lines).toHaveLength(200);
  refuse('laptop', 'i2');
  expect(lines.at(-1)).toMatchObject({ agent: 'laptop' });
});

test('what is for debugging, or needs a line each, is not limited', () => {
  const { log, lines } = arrange();
  for (let i = 0; i < 100; i++) {
    log.debug({ event: 'flow.ended', service: 'web' }, 'flow ended');
    log.unlimited.info({ event: 'flow.ended', agent: 'laptop' }, 'flow ended');
  }
  expect(lines).toHaveLength(200);
});

function arrange() {
  const lines: Record<string, unknown>[] = [];
  const sink = { write: (line: string) => lines.push(JSON.parse(line)) };
  const clock = new VirtualClock();
  const leftOut: Record<string, number> = {};
  const logger = createLogger({ component: 'test', level: 'debug', format: 'json', sink });
  const log = limitLog(logger, clock, (event) => {
    leftOut[event] = (leftOut[event] ?? 0) + 1;
  });
  return { log, lines, clock, leftOut };
}

function refused(log: ReturnType<typeof limitLog>, agent: string, reason: string) {
  log.info({ event: 'flow.ended', agent, verdict: 'refused', reason }, 'flow refused');
}
