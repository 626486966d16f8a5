import type { Connection, ConnectOptions } from '@ztna/quic';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { connectAny } from './connect-any.ts';

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

it('takes the first that answers, and gives up the others', async () => {
  const { endpoint, attempts, connect } = start(['a', 'b']);
  await vi.advanceTimersByTimeAsync(250);
  expect(attempts.map(({ remote }) => remote)).toEqual(['a', 'b']);
  endpoint.answers(1);
  expect(await connect).toBe(attempts[1]?.connection);
  expect(attempts[0]?.signal.aborted).toBe(true);
});

it('tries the next address at once when one fails', async () => {
  const { endpoint, attempts } = start(['a', 'b']);
  endpoint.fails(0);
  await vi.advanceTimersByTimeAsync(0);
  expect(attempts).toHaveLength(2);
});

it('tries all again each second while nothing is heard', async () => {
  const { attempts } = start(['a']);
  await vi.advanceTimersByTimeAsync(3_000);
  expect(attempts).toHaveLength(4);
  await vi.advanceTimersByTimeAsync(100_000);
  expect(attempts).toHaveLength(16);
});

it('rejects when every address failed', async () => {
  const { endpoint, connect } = start(['a', 'b']);
  endpoint.fails(0);
  await vi.advanceTimersByTimeAsync(0);
  endpoint.fails(1);
  await expect(connect).rejects.toThrow('failed 1');
});

it('stops everything on abort, and closes what still connects', async () => {
  const { endpoint, attempts, connect, abort } = start(['a']);
  abort.abort();
  await expect(connect).rejects.toThrow('given up');
  endpoint.answers(0);
  await vi.advanceTimersByTimeAsync(5_000);
  expect(attempts).toHaveLength(1);
  expect(attempts[0]?.connection.close).toHaveBeenCalled();
});

function start(remotes: string[]) {
  const attempts: {
    remote: string;
    signal: AbortSignal;
    done: PromiseWithResolvers<Connection>;
    connection: Connection;
  }[] = [];
  const endpoint = {
    connect({ remote, signal }: ConnectOptions) {
      const done = Promise.withResolvers<Connection>();
      const connection = { close: vi.fn() } as unknown as Connection;
      attempts.push({ remote, signal: signal as AbortSignal, done, connection });
      return done.promise;
    },
    answers: (index: number) => attempts[index]?.done.resolve(attempts[index].connection),
    fails: (index: number) => attempts[index]?.done.reject(new Error(`failed ${index}`)),
  };
  const abort = new AbortController();
  const connect = connectAny(endpoint, { remotes, signal: abort.signal, alpn: ['x'] });
  connect.catch(() => undefined);
  return { endpoint, attempts, connect, abort };
}
