import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import type { CloseInfo, Endpoint } from '@ztna/quic';
import {
  ALPN,
  type ComponentName,
  type HostPort,
  type IntermediateEntry,
  parseHostPort,
  type SpiffeId,
  wireErrorNumber,
} from '@ztna/wire';
import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { outerClientTransport, outerServerTransport } from '../transport.ts';
import { SecondObserver } from './second-observer.ts';
import { TestPki, testLog } from './testing.ts';

const TRANSPORT = { idleTimeoutMs: 30_000, keepAliveMs: 10_000, initialMtu: 1200, maxMtu: 1452 };
const MINUTE = 60_000;

let pki: TestPki;
let cleanup: AsyncDisposableStack;
beforeAll(async () => {
  pki = await TestPki.create();
});
beforeEach(() => {
  cleanup = new AsyncDisposableStack();
});
afterEach(() => cleanup.disposeAsync());

test('one that is not in use tells how it sees the socket, and is left in order', async () => {
  const [one, two] = [await intermediate('one'), await intermediate('two')];
  const { observer, seen, agent } = await start([one.entry, two.entry], [one.entry.id]);

  observer.ask();

  await expect.poll(() => seen).toEqual([[two.entry.id, agent.localAddress]]);
  await expect.poll(() => two.closed).toMatchObject([{ kind: 'peer', code: wireErrorNumber('going-away') }]);
  expect(one.closed).toEqual([]);
});

test('with one intermediate alone nobody is asked', async () => {
  const one = await intermediate('one');
  const { observer, seen, time } = await start([one.entry], [one.entry.id]);
  observer.ask();
  time.passes(MINUTE);
  observer.ask();
  await new Promise(setImmediate);
  expect(seen).toEqual([]);
});

test('one that is not in use any more is asked at once, if nobody could be asked before', async () => {
  const [one, two] = [await intermediate('one'), await intermediate('two')];
  const used = [one.entry.id, two.entry.id];
  const { observer, seen, agent } = await start([one.entry, two.entry], used);
  observer.ask();
  used.pop();
  observer.ask();
  await expect.poll(() => seen).toEqual([[two.entry.id, agent.localAddress]]);
});

test('is asked at most each 30 s, however often that is wanted; the last wish is not forgotten', async () => {
  const [one, two] = [await intermediate('one'), await intermediate('two')];
  const { observer, seen, time } = await start([one.entry, two.entry], [one.entry.id]);
  for (let i = 0; i < 10; i++) observer.ask();
  await expect.poll(() => seen).toHaveLength(1);
  time.passes(29_999);
  expect(two.closed).toHaveLength(1);

  time.passes(1);

  await expect.poll(() => seen).toHaveLength(2);
  time.passes(10 * MINUTE);
  await expect.poll(() => two.closed).toHaveLength(2);
});

test('one that does not answer in time is given up, and what it saw before is believed no longer', async () => {
  const two = await intermediate('two');
  const entries = [two.entry];
  const { observer, seen, time } = await start(entries, []);
  observer.ask();
  await expect.poll(() => seen).toHaveLength(1);
  entries[0] = { ...two.entry, addresses: [await silent()] };
  time.passes(MINUTE);

  observer.ask();

  await expect.poll(() => seen.at(-1), { timeout: 10_000 }).toEqual([two.entry.id, undefined]);
});

test('another intermediate in its place is not believed', async () => {
  const [two, impostor] = [await intermediate('two'), await intermediate('impostor')];
  const entry = { ...two.entry, addresses: impostor.entry.addresses };
  const { observer, seen } = await start([entry], []);
  observer.ask();
  await expect.poll(() => seen).toEqual([[two.entry.id, undefined]]);
  await expect.poll(() => impostor.closed).toMatchObject([{ code: wireErrorNumber('not-authorized') }]);
});

test('one whose certificate is refused is not believed', async () => {
  const two = await intermediate('two');
  const { observer, seen } = await start([two.entry], [], [two.entry.id]);
  observer.ask();
  await expect.poll(() => seen).toEqual([[two.entry.id, undefined]]);
  await expect.poll(() => two.closed).toMatchObject([{ code: wireErrorNumber('revoked') }]);
});

test('one to which the agent connects meanwhile tells by itself', async () => {
  const two = await intermediate('two');
  const used: SpiffeId[] = [];
  const { observer, seen } = await start([two.entry], used);
  observer.ask();
  used.push(two.entry.id);
  await expect.poll(() => two.closed).toHaveLength(1);
  expect(seen).toEqual([]);
});

test('nothing is told once it is closed', async () => {
  const two = await intermediate('two');
  const { observer, seen, time } = await start([two.entry], []);
  observer.ask();
  observer[Symbol.dispose]();
  observer.ask();
  time.passes(MINUTE);
  await new Promise(setImmediate);
  expect(seen).toEqual([]);
});

async function start(
  entries: IntermediateEntry[],
  used: readonly SpiffeId[],
  revoked: readonly SpiffeId[] = [],
) {
  const agent = cleanup.use(await pki.endpoint('agent/a'));
  const seen: [SpiffeId, string | undefined][] = [];
  const time = new Time();
  const observer = cleanup.use(
    new SecondObserver({
      ...{ endpoint: agent, transport: outerClientTransport(TRANSPORT), log: testLog().log, clock: time },
      verify: (chain) => pki.verify(chain, 'intermediate', revoked),
      ...{ intermediates: () => entries, inUse: () => used, giveUpMs: 1_000 },
      onObserved: (by, address) => void seen.push([by, address]),
    }),
  );
  return { observer, seen, time, agent };
}

async function intermediate(name: string) {
  const server = { alpn: [ALPN.CONTROL], transport: outerServerTransport(TRANSPORT) };
  const endpoint: Endpoint = cleanup.use(await pki.endpoint(`intermediate/${name}`, { server }));
  const closed: CloseInfo[] = [];
  endpoint.onConnection = (connection) => {
    connection.accept();
    void connection.closed.then((info) => closed.push(info));
  };
  const entry: IntermediateEntry = {
    name: name as ComponentName,
    id: `spiffe://corp.example/default/intermediate/${name}` as SpiffeId,
    addresses: [addressOf(endpoint.localAddress)],
  };
  return { entry, closed };
}

/** A UDP port that answers nothing. */
async function silent(): Promise<HostPort> {
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  cleanup.defer(() => void socket.close());
  await once(socket, 'listening');
  return addressOf(`127.0.0.1:${socket.address().port}`);
}

/** Time that passes when its test says so. */
class Time {
  #now = 1_000_000;
  #timers: { readonly at: number; readonly callback: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  setTimer(at: number, callback: () => void): () => void {
    const timer = { at, callback };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  passes(ms: number): void {
    this.#now += ms;
    const due = this.#timers.filter(({ at }) => at <= this.#now);
    this.#timers = this.#timers.filter((timer) => !due.includes(timer));
    for (const { callback } of due) callback();
  }
}

function addressOf(text: string): HostPort {
  const parsed = parseHostPort(text);
  if (!parsed.ok) throw new Error(parsed.error.detail);
  return parsed.value;
}
