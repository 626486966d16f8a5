import type { IntermediateEntry } from '@ztna/wire';
import { expect, test } from 'vitest';
import { type Answering, whyUnreachable } from './reachability.ts';

test('a name that nobody knows', async () => {
  const unknown = await whyUnreachable([at('relay.test', 4433)], nobody, () =>
    Promise.reject(new Error('ENOTFOUND')),
  );
  expect(unknown).toMatchObject({
    code: 'name-unresolved',
    message: expect.stringContaining('relay.test:4433'),
  });
});

test('a resolver that does not answer is waited for a moment only', async () => {
  const silent = await whyUnreachable([at('relay.test', 4433)], nobody, () => new Promise(() => {}));
  expect(silent.code).toBe('name-unresolved');
});

test('an address without a route', async () => {
  // Class E (RFC 1112 §4): the system refuses it, whatever its routes are.
  const none = await whyUnreachable([at('relay.test', 4433)], nobody, async () => ['255.255.255.255']);
  expect(none).toMatchObject({ code: 'no-route', message: expect.stringContaining('255.255.255.255:4433') });
});

test('an address with a route that is silent, with a remedy', async () => {
  const blocked = await whyUnreachable([at('no.test', 1), at('127.0.0.1', 4433)], nobody, () =>
    Promise.reject(new Error('x')),
  );
  expect(blocked).toMatchObject({
    ...{ code: 'udp-blocked', message: expect.stringContaining('(127.0.0.1:4433)') },
    remedy: expect.stringContaining('UDP'),
  });
});

test('an intermediate that is silent while others answer is not UDP that is blocked', async () => {
  const why = (answering: Answering) => whyUnreachable([at('127.0.0.1', 4433)], async () => answering);
  expect(await why({ intermediates: 0, sessions: 2 })).toMatchObject({
    ...{ code: 'intermediate-silent', remedy: expect.stringContaining('sessions on direct paths go on') },
    message: expect.stringMatching(/\(127\.0\.0\.1:4433\), while UDP works: 2 direct sessions answer$/),
  });
  expect(await why({ intermediates: 1, sessions: 1 })).toMatchObject({
    message: expect.stringMatching(/: 1 other intermediate answers, 1 direct session answers$/),
  });
  expect(await why({ intermediates: 0, sessions: 0 })).toMatchObject({ code: 'udp-blocked' });
});

const nobody = async (): Promise<Answering> => ({ intermediates: 0, sessions: 0 });

function at(host: string, port: number): IntermediateEntry {
  return { name: host, addresses: [{ host, port }] } as unknown as IntermediateEntry;
}
