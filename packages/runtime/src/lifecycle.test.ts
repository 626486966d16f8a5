import { EventEmitter } from 'node:events';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Lifecycle } from './lifecycle.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test('the first signal asks to stop, the second ends at once', async () => {
  const { events, exits, lifecycle } = start();
  const stopped = lifecycle.untilStopped();
  events.emit('SIGTERM');
  await stopped;
  expect(lifecycle.signal.aborted).toBe(true);
  expect(exits).toEqual([]);
  vi.advanceTimersByTime(500);
  events.emit('SIGINT');
  expect(exits).toEqual([130]);
});

test('a signal that arrives twice at once is one', () => {
  const { events, exits, lifecycle } = start();
  events.emit('SIGTERM');
  events.emit('SIGTERM');
  vi.advanceTimersByTime(499);
  events.emit('SIGINT');
  expect(exits).toEqual([]);
  expect(lifecycle.signalExitCode).toBe(143);
});

test('the deadline ends what does not stop', () => {
  const { events, exits, lifecycle } = start();
  lifecycle.setDeadline(500);
  events.emit('SIGTERM');
  vi.advanceTimersByTime(499);
  expect(exits).toEqual([]);
  vi.advanceTimersByTime(1);
  expect(exits).toEqual([143]);
});

test('work that ended by itself has the same deadline for its end', () => {
  const { exits, lifecycle } = start();
  lifecycle.startDeadline(1);
  vi.advanceTimersByTime(10_000);
  expect(exits).toEqual([1]);
});

test('SIGHUP runs the reload hooks one after another; a failing one does not stop the next', async () => {
  const { events, lifecycle } = start();
  const calls: string[] = [];
  lifecycle.onReload(async () => {
    calls.push('first');
    throw new Error('unreadable');
  });
  const second = Promise.withResolvers<void>();
  lifecycle.onReload(() => {
    calls.push('second');
    second.resolve();
  });
  events.emit('SIGHUP');
  await second.promise;
  expect(calls).toEqual(['first', 'second']);
});

test('without reload hooks SIGHUP keeps its default', () => {
  expect(start().events.listenerCount('SIGHUP')).toBe(0);
});

test('a bug outside of any call ends the process with 1', () => {
  const { events, exits, lifecycle } = start();
  const fatal = vi.fn();
  lifecycle.log = { fatal } as unknown as NonNullable<Lifecycle['log']>;
  events.emit('unhandledRejection', new Error('lost'));
  expect(exits).toEqual([1]);
  expect(fatal).toHaveBeenCalledOnce();
});

test('disposing takes every handler off', () => {
  const { events, lifecycle } = start();
  lifecycle.onReload(() => {});
  lifecycle[Symbol.dispose]();
  expect(events.eventNames()).toEqual([]);
});

function start() {
  const events = new EventEmitter();
  const exits: number[] = [];
  const lifecycle = new Lifecycle({ process: events, exit: (code) => exits.push(code) });
  return { events, exits, lifecycle };
}
