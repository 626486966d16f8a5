import type { PeerIdentity } from '@ztna/identity';
import type { Connection, ConnectionEvent, Endpoint } from '@ztna/quic';
import type { Logger } from '@ztna/runtime';
import type { ConnectionKey } from '@ztna/session';
import type { IntermediateEntry, SpiffeId } from '@ztna/wire';
import { expect, it } from 'vitest';
import { OuterLinks } from './outer-links.ts';

const id = 'spiffe://test.example/default/intermediate/relay1' as SpiffeId;
const to = { id, name: 'relay1', addresses: [{ host: '192.0.2.1', port: 4433 }] } as unknown as IntermediateEntry;

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

/** As much of a connection as links need. */
class FakeConnection {
  readonly #closed = Promise.withResolvers<object>();
  readonly closed = this.#closed.promise;
  readonly peerChain = [];
  isClosed = false;
  observedAddress: string | undefined;
  onEvent: ((event: ConnectionEvent) => void) | undefined;

  accept(): void {}
  close(): void {}
  openBi(): object {
    return { read: () => new Promise(() => {}), write: async () => {} };
  }

  sees(address: string): void {
    this.observedAddress = address;
    this.onEvent?.({ type: 'observed-address', address } as ConnectionEvent);
  }

  end(): void {
    this.isClosed = true;
    this.#closed.resolve({ kind: 'timeout', reason: 'timed out' });
  }
}

function linksOver(connections: FakeConnection[], observed: (string | undefined)[]): OuterLinks {
  const connect = async () => {
    const connection = new FakeConnection();
    connections.push(connection);
    return connection as unknown as Connection;
  };
  return new OuterLinks({
    endpoint: { connect } as unknown as Endpoint,
    transport: { idleTimeoutMs: 30_000, keepAliveMs: 10_000, initialMtu: 1200, maxMtu: 1452 },
    verify: () => ({ ok: true, value: { id } as PeerIdentity }),
    input: () => {},
    log: { debug: () => {} } as unknown as Logger,
    onObserved: (_, address) => observed.push(address),
  });
}
