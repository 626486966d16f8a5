import type { IntermediateEntry } from '@ztna/wire';
import { expect, test } from 'vitest';
import { whyUnreachable } from './reachability.ts';

test('a name that nobody knows', async () => {
  const unknown = await whyUnreachable([at('relay.test', 4433)], () =>
    Promise.reject(new Error('ENOTFOUND')),
  );
  expect(unknown).toMatchObject({
    code: 'name-unresolved',
    message: expect.stringContaining('relay.test:4433'),
  });
});

test('a resolver that does not answer is waited for a moment only', async () => {
  const silent = await whyUnreachable([at('relay.test', 4433)], () => new Promise(() => {}));
  expect(silent.code).toBe('name-unresolved');
});

test('an address without a route', async () => {
  // Class E (RFC 1112 §4): the system refuses it, whatever its routes are.
  const none = await whyUnreachable([at('relay.test', 4433)], async () => ['255.255.255.255']);
  expect(none).toMatchObject({ code: 'no-route', message: expect.stringContaining('255.255.255.255:4433') });
});

test('an address with a route that is silent, with a remedy', async () => {
  const blocked = await whyUnreachable([at('no.test', 1), at('127.0.0.1', 4433)], () =>
    Promise.reject(new Error('x')),
  );
  expect(blocked).toMatchObject({
    ...{ code: 'udp-blocked', message: expect.stringContaining('(127.0.0.1:4433)') },
    remedy: expect.stringContaining('UDP'),
  });
});

function at(host: string, port: number): IntermediateEntry {
  return { name: host, addresses: [{ host, port }] } as unknown as IntermediateEntry;
}
