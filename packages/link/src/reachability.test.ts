import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import type { IntermediateEntry } from '@ztna/wire';
import { expect, test } from 'vitest';
import { type Answering, type Loss, whyUnreachable } from './reachability.ts';

test('a name that nobody knows', async () => {
  const unknown = await whyUnreachable([at('relay.test', 4433)], NONE, {
    resolver: () => Promise.reject(new Error('ENOTFOUND')),
  });
  expect(unknown).toMatchObject({
    code: 'name-unresolved',
    message: expect.stringContaining('relay.test:4433'),
  });
});

test('a resolver that does not answer is waited for a moment only', async () => {
  const silent = await whyUnreachable([at('relay.test', 4433)], NONE, {
    resolver: () => new Promise(() => {}),
  });
  expect(silent.code).toBe('name-unresolved');
});

test('an address without a route', async () => {
  // Class E (RFC 1112 §4): the system refuses it, whatever its routes are.
  const none = await whyUnreachable([at('relay.test', 4433)], NONE, {
    resolver: async () => ['255.255.255.255'],
  });
  expect(none).toMatchObject({ code: 'no-route', message: expect.stringContaining('255.255.255.255:4433') });
});

test('an address with a route that is silent, with a remedy', async () => {
  await using silent = createSocket('udp4');
  const port = await bound(silent);
  const blocked = await whyUnreachable([at('no.test', 1), at('127.0.0.1', port)], NONE, {
    resolver: () => Promise.reject(new Error('x')),
  });
  expect(blocked).toMatchObject({
    ...{ code: 'udp-blocked', message: expect.stringContaining(`(127.0.0.1:${port})`) },
    remedy: expect.stringContaining('UDP'),
  });
});

test('an address at which nothing listens', async () => {
  const refused = await whyUnreachable([at('127.0.0.1', await closedPort())]);
  expect(refused).toMatchObject({
    ...{ code: 'not-listening', message: expect.stringContaining('nothing listens') },
    remedy: expect.stringContaining('start the intermediate'),
  });
});

test('one of several that is silent counts more than those that refuse', async () => {
  await using silent = createSocket('udp4');
  const port = await bound(silent);
  const some = await whyUnreachable([at('127.0.0.1', await closedPort()), at('127.0.0.1', port)]);
  expect(some).toMatchObject({
    code: 'udp-blocked',
    message: expect.stringContaining(`(127.0.0.1:${port})`),
  });
});

test('an intermediate that said that it stops', async () => {
  const entry = at('127.0.0.1', await closedPort());
  const gone = await whyUnreachable([entry], new Map([[entry.name, loss({ stopped: true })]]));
  expect(gone).toMatchObject({
    code: 'intermediate-stopped',
    message: expect.stringContaining('said at 2026-03-01T12:00:00.000Z that it stops'),
  });
});

test('a silent one that was connected before names that, not this network first', async () => {
  await using silent = createSocket('udp4');
  const entry = at('127.0.0.1', await bound(silent));
  const lost = await whyUnreachable([entry], new Map([[entry.name, loss({ stopped: false })]]));
  expect(lost).toMatchObject({
    ...{ code: 'udp-blocked', message: expect.stringContaining('connected until 2026-03-01T12:00:00.000Z') },
    remedy: expect.stringMatching(/^look whether the intermediate and its machine run/),
  });
});

test('an intermediate that is silent while others answer is not UDP that is blocked', async () => {
  await using silent = createSocket('udp4');
  const entry = at('127.0.0.1', await bound(silent));
  const why = (answering: Answering) => whyUnreachable([entry], NONE, { answering: async () => answering });
  expect(await why({ intermediates: 0, sessions: 2 })).toMatchObject({
    ...{ code: 'intermediate-silent', remedy: expect.stringContaining('sessions on direct paths go on') },
    message: expect.stringMatching(/\), while UDP works: 2 direct sessions answer$/),
  });
  expect(await why({ intermediates: 1, sessions: 1 })).toMatchObject({
    message: expect.stringMatching(/: 1 other intermediate answers, 1 direct session answers$/),
  });
  expect(await why({ intermediates: 0, sessions: 0 })).toMatchObject({ code: 'udp-blocked' });
});

const NONE = new Map();

function loss({ stopped }: { stopped: boolean }): Loss {
  const atMs = Date.parse('2026-03-01T12:00:00Z');
  return { intermediate: '127.0.0.1', atMs, reason: 'timed out', stopped };
}

async function bound(socket: Socket): Promise<number> {
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return socket.address().port;
}

/** Free a moment ago. */
async function closedPort(): Promise<number> {
  await using socket = createSocket('udp4');
  return await bound(socket);
}

function at(host: string, port: number): IntermediateEntry {
  return { name: host, addresses: [{ host, port }] } as unknown as IntermediateEntry;
}
