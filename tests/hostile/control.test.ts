import { type Agent, startAgent } from '@ztna/agent';
import {
  ALPN,
  encodeControlMessage,
  encodeFrame,
  encodeVarint,
  type RelayId,
  type ServiceName,
  type SessionUid,
  type TenantName,
  wireError,
} from '@ztna/wire';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Arena, startArena } from './support/arena.ts';
import { credentialsOf, endpointOf, HostilePeer } from './support/peer.ts';

const PROTOCOL = 1;
/** What closes a connection, by its code. */
const NAMES: Readonly<Record<number, string>> = {
  1: 'protocol',
  2: 'unsupported-version',
  4: 'wrong-tenant',
};
const service = (name: string) => name as ServiceName;
const open = (requestId: number, name: string) => ({
  ...({ type: 'openSession', requestId, service: service(name), excludeConnectors: [] } as const),
});

let arena: Arena;
beforeAll(async () => {
  arena = await startArena();
});
afterAll(() => arena[Symbol.asyncDispose]());

describe('a control stream that cannot be understood is closed with a reason', () => {
  const random = Uint8Array.from({ length: 3_000 }, (_, i) => (i * 7919) & 0xff);
  test.each<[string, Uint8Array]>([
    ['random bytes', encodeFrame(random)],
    ['a message over the limit', encodeVarint(64 * 1024 + 1)],
    ['the largest length there is', Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)],
    ['a length in too many bytes', Uint8Array.of(0x40, 0x01, 0x00)],
    ['a truncated message', Uint8Array.of(0x0a, 0x01, 0x02)],
  ])('%s', async (what, bytes) => {
    const before = await arena.metric('intermediate', 'ztna_core_events_total', 'malformed');
    await using peer = await HostilePeer.greeted(arena.mallory, arena.target);
    peer.raw(bytes);
    if (what === 'a truncated message') await peer.control.finish();
    expect(await peer.connection.closed).toMatchObject({ kind: 'peer', code: PROTOCOL });
    expect(await arena.metric('intermediate', 'ztna_core_events_total', 'malformed')).toBe(before + 1);
    await arena.unharmed();
  });
});

describe('what is said at the wrong time or by the wrong role closes the connection', () => {
  const closings: [string, number, (peer: HostilePeer) => void][] = [
    ['a request before Hello', PROTOCOL, (peer) => peer.send(open(1, 'echo'))],
    ['a foreign tenant', 4, (peer) => peer.hello({ tenant: 'acme' as TenantName })],
    ['an unknown version', 2, (peer) => peer.hello({ versions: [1, 99] })],
    ['Hello twice', PROTOCOL, (peer) => [peer.hello(), peer.hello()]],
    [
      'a registration by an agent',
      PROTOCOL,
      (peer) => {
        peer.hello();
        peer.send({ type: 'register', services: [service('echo')], capacity: 0, labels: new Map() });
      },
    ],
  ];
  test.each(closings)('%s', async (_, code, attack) => {
    const counted = await arena.counting('intermediate');
    await using peer = await HostilePeer.connect(arena.mallory, arena.target);
    attack(peer);
    expect(await peer.connection.closed).toMatchObject({ kind: 'peer', code });
    expect(await counted()).toMatchObject({ [`peer_closed/${NAMES[code]}`]: 1 });
    await arena.unharmed();
  });

  test('a message of a later version is answered, and the connection goes on', async () => {
    const counted = await arena.counting('intermediate');
    await using peer = await HostilePeer.greeted(arena.mallory, arena.target);
    peer.raw(encodeFrame(Uint8Array.of(0xfa, 0x01, 0x00)));
    expect(await peer.next('error')).toMatchObject({ error: { code: 'unknown-message' } });
    peer.send(open(1, 'nothing'));
    expect(await peer.next('error')).toMatchObject({ error: { code: 'not-authorized', requestId: 1 } });
    expect(await counted()).toMatchObject({ 'malformed/unknown': 1, 'request_refused/not-authorized': 1 });
  });

  test('a second stream is refused', async () => {
    const counted = await arena.counting('intermediate');
    await using peer = await HostilePeer.greeted(arena.mallory, arena.target);
    const second = await peer.connection.openBi();
    await second.write(Uint8Array.of(1));
    await expect(second.read()).rejects.toMatchObject({ code: 'ERR_STREAM_RESET', quicCode: PROTOCOL });
    expect(await counted()).toMatchObject({ 'stream_refused/protocol': 1 });
  });
});

describe('sessions of others', () => {
  test('a service that is not granted is refused as one that does not exist', async () => {
    const counted = await arena.counting('intermediate');
    await using peer = await HostilePeer.greeted(arena.eve, arena.target);
    for (const [i, name] of ['secret', 'echo', 'nothing'].entries()) {
      peer.send(open(i + 1, name));
      expect(await peer.next('error')).toMatchObject({ error: { code: 'not-authorized', requestId: i + 1 } });
    }
    expect(await counted()).toMatchObject({ 'request_refused/not-authorized': 3 });
    await arena.unharmed();
  });

  test('cannot be extended, attached or closed with their uid, not even with their grant', async () => {
    const { sessions } = await arena.agent.status();
    const uid = sessions[0]?.session as SessionUid;
    await using evil = await register(['spare']);
    const opening = arena.agent.openFlow({ service: service('spare'), transport: 'tcp', port: 7 });
    opening.catch(() => {});
    const stolen = await evil.next('sessionOffer');
    await using peer = await HostilePeer.greeted(arena.mallory, arena.target);
    peer.send(open(1, 'echo'));
    const own = await peer.next('sessionOffer');
    const ignored = () => arena.metric('intermediate', 'ztna_core_events_total', 'close-unknown-session');
    const before = await ignored();
    const counted = await arena.counting('intermediate');

    peer.send({ type: 'extendGrant', requestId: 2, sessionUid: uid, services: [service('echo')] });
    expect(await peer.next('error')).toMatchObject({ error: { code: 'unknown-session', requestId: 2 } });
    peer.send({ type: 'attachPath', requestId: 3, sessionUid: uid, grant: own.grant });
    expect(await peer.next('error')).toMatchObject({ error: { code: 'grant-invalid', requestId: 3 } });
    peer.send({ type: 'attachPath', requestId: 4, sessionUid: stolen.sessionUid, grant: stolen.grant });
    expect(await peer.next('error')).toMatchObject({ error: { code: 'grant-invalid', requestId: 4 } });
    peer.send({ type: 'extendGrant', requestId: 5, sessionUid: own.sessionUid, services: [service('web')] });
    expect(await peer.next('error')).toMatchObject({ error: { code: 'not-authorized', requestId: 5 } });
    peer.send({ type: 'closeSession', sessionUid: uid });
    evil.send({ type: 'closeSession', sessionUid: uid });
    evil.send({
      type: 'sessionAnswer',
      sessionUid: uid,
      relayId: 1 as RelayId,
      error: wireError('internal', 'x'),
    });
    await expect.poll(ignored).toBe(before + 2);
    expect(await counted()).toMatchObject({
      ...{ 'request_refused/unknown-session': 1, 'request_refused/grant-invalid': 2 },
      ...{ 'request_refused/not-authorized': 1, 'message_ignored/answer-unknown-offer': 1 },
    });
    expect((await arena.agent.status()).sessions.map(({ session }) => session)).toContain(uid);
    await arena.unharmed();
  });

  test('a connector serves what the snapshot says is its own, whatever it registers', async () => {
    await using evil = await HostilePeer.greeted(arena.evil, arena.target);
    const services = ['echo', 'web', 'secret', 'spare'].map(service);
    evil.send({ type: 'register', services, capacity: 0, labels: new Map() });
    expect(await evil.next('registered')).toMatchObject({
      services: ['spare'],
      refused: services.slice(0, 3),
    });
    await using peer = await HostilePeer.greeted(arena.mallory, arena.target);
    for (let i = 1; i <= 8; i++) peer.send(open(i, 'echo'));
    for (let i = 1; i <= 8; i++) expect((await peer.next('sessionOffer')).peer).toContain('lab/c1');
    // The well-behaved agent may have been waiting for `spare`: that one is its own.
    const offers = evil.heard.filter((m) => m.type === 'sessionOffer' && m.peer === arena.mallory.id);
    expect(offers).toEqual([]);
    await arena.unharmed();
  });
});

describe('floods', () => {
  test('of messages are cut off', async () => {
    const counted = await arena.counting('intermediate');
    await using peer = await HostilePeer.greeted(arena.mallory, arena.target);
    const one = encodeFrame(encodeControlMessage(open(1, 'nothing')));
    peer.raw(Buffer.concat(Array.from({ length: 20_000 }, () => one)));
    expect(await peer.connection.closed).toMatchObject({ kind: 'peer', code: 9 });
    expect(peer.heard.length).toBeLessThan(1_000);
    expect(await counted()).toMatchObject({ 'peer_closed/limit': 1 });
    await arena.unharmed();
  });

  test('of connections that say nothing keep nobody else out, and are closed in time', async () => {
    const counted = await arena.counting('intermediate');
    await using endpoint = endpointOf(credentialsOf(arena.eve), arena.eve.files.trust.bundleFile);
    const connect = () => endpoint.connect({ remote: arena.target, alpn: [ALPN.CONTROL] });
    const silent = await Promise.all(Array.from({ length: 40 }, connect));
    for (const connection of silent) connection.accept();
    const refused = () => silent.filter((connection) => connection.isClosed).length;
    await expect.poll(refused).toBe(8); // 32 may wait for their Hello
    const { config, log } = arena.agent;
    await using another: Agent = await startAgent({ config, log });
    await expect.poll(() => another.connected).toBe(true);
    await arena.unharmed();
    await expect.poll(refused, { timeout: 10_000 }).toBe(40);
    expect(await silent[0]?.closed).toMatchObject({ code: 12 });
    expect(await counted()).toMatchObject({ 'peer_refused/limit': 8, 'peer_closed/timeout': 32 });
  });
});

async function register(names: string[]): Promise<HostilePeer> {
  const evil = await HostilePeer.greeted(arena.evil, arena.target);
  evil.send({ type: 'register', services: names.map(service), capacity: 0, labels: new Map() });
  await evil.next('registered');
  return evil;
}
