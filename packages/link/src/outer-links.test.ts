import type { PeerIdentity } from '@ztna/identity';
import type { Connection, ConnectionEvent, Endpoint } from '@ztna/quic';
import type { Logger } from '@ztna/runtime';
import { type ConnectionKey, type LinkInput, makeHello } from '@ztna/session';
import {
  type ControlMessage,
  encodeControlMessage,
  encodeFrame,
  type IntermediateEntry,
  type Revision,
  type SpiffeId,
  type TenantName,
  wireError,
} from '@ztna/wire';
import { afterEach, expect, it, vi } from 'vitest';
import { localInfo } from './local-info.ts';
import { OuterLinks } from './outer-links.ts';

const id = 'spiffe://test.example/default/intermediate/relay1' as SpiffeId;
const to = {
  id,
  name: 'relay1',
  addresses: [{ host: '192.0.2.1', port: 4433 }],
} as unknown as IntermediateEntry;

afterEach(() => vi.useRealTimers());

it('an old connection that ends does not take back what the new one to the same intermediate says', async () => {
  const connections: FakeConnection[] = [];
  const observed: (string | undefined)[] = [];
  const links = linksOver(connections, observed);
  for (const key of [1, 2]) {
    links.carryOut({ type: 'connect', connection: key as ConnectionKey, to });
    await expect.poll(() => connections[key - 1]?.onEvent).toBeTypeOf('function');
    connections[key - 1]?.sees(`198.51.100.${key}:9`);
  }

  connections[0]?.end();
  await expect.poll(() => observed.length).toBe(3);
  connections[1]?.end();
  await expect.poll(() => observed.length).toBe(4);

  expect(observed).toEqual(['198.51.100.1:9', '198.51.100.2:9', '198.51.100.2:9', undefined]);
});

it('says since when an intermediate does not answer, not since when it was connected', async () => {
  vi.useFakeTimers({ now: Date.UTC(2026, 0, 1) });
  const connections: FakeConnection[] = [];
  const links = linksOver(connections, []);
  links.carryOut({ type: 'connect', connection: 1 as ConnectionKey, to });
  await vi.advanceTimersByTimeAsync(0);
  const [connection] = connections;
  connection?.saysHello();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(await links.status()).toMatchObject([{ state: 'connected', since: '2026-01-01T00:00:00.000Z' }]);

  connection?.becomes('stalled');
  await vi.advanceTimersByTimeAsync(5_000);
  expect(await links.status()).toMatchObject([{ state: 'stalled', since: '2026-01-01T00:01:00.000Z' }]);

  connection?.becomes('recovered');
  expect(await links.status()).toMatchObject([{ state: 'connected', since: '2026-01-01T00:00:00.000Z' }]);
});

it.each<[string, ControlMessage, object]>([
  [
    'an error',
    { type: 'error', error: wireError('revoked', 'this identity was revoked') },
    { reason: 'peer: revoked: this identity was revoked', code: 'revoked' },
  ],
  ['a goodbye', { type: 'goodbye', reason: 'a newer one' }, { reason: 'peer: goodbye: a newer one' }],
])('an intermediate that says %s and ends its stream is the one that ended it', async (_, message, how) => {
  const connections: FakeConnection[] = [];
  const heard: LinkInput[] = [];
  const links = linksOver(connections, [], heard);
  links.carryOut({ type: 'connect', connection: 1 as ConnectionKey, to });
  await expect.poll(() => connections[0]?.onEvent).toBeTypeOf('function');
  connections[0]?.saysAndEnds(message);
  await expect.poll(() => heard.at(-1)).toEqual({ type: 'outer-lost', connection: 1, ...how });
});

it('remembers that an intermediate does not trust this side, until one lets it in', async () => {
  const connections: FakeConnection[] = [];
  const links = linksOver(connections, []);
  const connect = async (key: number) => {
    links.carryOut({ type: 'connect', connection: key as ConnectionKey, to });
    await expect.poll(() => connections[key - 1]?.onEvent).toBeTypeOf('function');
    return connections[key - 1];
  };
  const reason =
    'aborted by peer: the cryptographic handshake failed: error 48: invalid peer certificate: UnknownIssuer';
  (await connect(1))?.end({ kind: 'tls', reason });
  const rejection = () => links.rejection('relay1');
  const told = {
    code: 'handshake-failed',
    message: expect.stringMatching(/^the intermediate does not trust/),
  };
  await expect.poll(rejection).toMatchObject(told);

  const second = await connect(2);
  expect(rejection()).toMatchObject(told);
  second?.saysHello();
  await expect.poll(rejection).toBeUndefined();
});

/** As much of a connection as links need. */
class FakeConnection {
  readonly #closed = Promise.withResolvers<object>();
  readonly #hello = Promise.withResolvers<Uint8Array>();
  readonly #end = Promise.withResolvers<null>();
  #reads = 0;
  readonly closed = this.#closed.promise;
  readonly remoteAddress = '192.0.2.1:4433';
  readonly peerChain = [];
  isClosed = false;
  observedAddress: string | undefined;
  onEvent: ((event: ConnectionEvent) => void) | undefined;

  accept(): void {}
  close(): void {
    this.#closed.resolve({ kind: 'local', reason: '' });
  }
  openBi(): object {
    const read = () => (this.#reads++ === 0 ? this.#hello.promise : this.#end.promise);
    return { read, write: async () => {} };
  }
  async paths(): Promise<[]> {
    return [];
  }

  saysHello(): void {
    const hello = makeHello(localInfo('default' as TenantName), 1 as Revision, Date.now());
    this.#hello.resolve(encodeFrame(encodeControlMessage(hello)));
  }

  saysAndEnds(message: ControlMessage): void {
    this.#hello.resolve(encodeFrame(encodeControlMessage(message)));
    this.#end.resolve(null);
  }

  becomes(type: 'stalled' | 'recovered'): void {
    this.onEvent?.({ type } as ConnectionEvent);
  }

  sees(address: string): void {
    this.observedAddress = address;
    this.onEvent?.({ type: 'observed-address', address } as ConnectionEvent);
  }

  end(info: object = { kind: 'timeout', reason: 'timed out' }): void {
    this.isClosed = true;
    this.#closed.resolve(info);
  }
}

function linksOver(
  connections: FakeConnection[],
  observed: (string | undefined)[],
  heard: LinkInput[] = [],
): OuterLinks {
  const connect = async () => {
    const connection = new FakeConnection();
    connections.push(connection);
    return connection as unknown as Connection;
  };
  return new OuterLinks({
    endpoint: { connect } as unknown as Endpoint,
    transport: { idleTimeoutMs: 30_000, keepAliveMs: 10_000, initialMtu: 1200, maxMtu: 1452 },
    verify: () => ({ ok: true, value: { id } as PeerIdentity }),
    input: (input) => heard.push(input),
    log: { debug: () => {} } as unknown as Logger,
    onObserved: (_, address) => observed.push(address),
  });
}
