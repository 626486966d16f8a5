import type { Agent } from '@ztna/agent';
import type { Connection } from '@ztna/quic';
import { ALPN, relayPrefix, type ServiceName, type SpiffeId, type SubjectName } from '@ztna/wire';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freeUdpPort } from '../e2e/support/ports.ts';
import { type Arena, startArena } from './support/arena.ts';
import { HostilePeer } from './support/peer.ts';
import { RogueIntermediate, type RoguePeer } from './support/rogue.ts';

const NOT_AUTHORIZED = 5;
const web = 'web' as ServiceName;
const alice = 'alice' as SubjectName;
const honest = 'spiffe://test.example/default/connector/lab/c1' as SpiffeId;
const laptop = 'spiffe://test.example/default/agent/laptop' as SpiffeId;

let arena: Arena;
let rogue: RogueIntermediate;
let address: string;
let agent: Agent;
beforeAll(async () => {
  arena = await startArena();
  const identity = await arena.stack.pki.issue('intermediate', 'rogue');
  address = `127.0.0.1:${await freeUdpPort()}`;
  await arena.publish({
    intermediates: [
      { name: 'rogue', addresses: [address] },
      { name: 'relay', addresses: [arena.target] },
    ],
  });
  rogue = new RogueIntermediate(identity, address);
  agent = await arena.stack.startAgent({ openTimeoutMs: 3_000 });
});
afterAll(async () => {
  await rogue[Symbol.asyncDispose]();
  await arena[Symbol.asyncDispose]();
});

test('an agent says nothing to another enrolled connector than the one that was offered', async () => {
  await using evil = await HostilePeer.greeted(arena.evil, address);
  const arrived: Connection[] = [];
  const streams: unknown[] = [];
  evil.endpoint.onConnection = (connection) => {
    connection.onBiStream = (stream) => streams.push(stream);
    connection.accept();
    arrived.push(connection);
  };
  rogue.onOpen = (asking, { requestId, service }) => {
    const behind = rogue.peer(arena.evil.id) as RoguePeer;
    const { id, keyThumbprint: agentKey } = asking;
    const terms = { agent: id, agentKey, connector: honest, subject: alice, services: [service] };
    const { sessionUid, signed: grant } = rogue.grant(terms);
    const [relayId, far] = rogue.join(asking, behind);
    const prefix = relayPrefix(far);
    evil.endpoint.addVirtualPath({ carrier: evil.connection, send: prefix, receive: prefix });
    asking.control.send({
      ...({
        type: 'sessionOffer',
        requestId,
        sessionUid,
        relayId,
        peer: honest,
        grant,
        attach: false,
      } as const),
    });
  };
  await expect(agent.openFlow({ service: web, transport: 'tcp', port: 80 })).rejects.toThrow();
  expect(arena.stack.logs.warnings('agent').map(({ event }) => event)).toContain('inner.wrong-identity');
  expect(arrived.length).toBeGreaterThan(0);
  for (const connection of arrived) expect(await connection.closed).toMatchObject({ code: NOT_AUTHORIZED });
  expect(streams).toEqual([]);
  await arena.unharmed();
});

test('a connector lets no other enrolled agent in than the one of the grant', async () => {
  const ended = () =>
    arena.metric('connector', 'ztna_core_events_total', '"session_ended",cause="not-authorized"');
  const before = await ended();
  await expect.poll(() => rogue.peer(honest) && rogue.peer(laptop)).toBeDefined();
  const connector = rogue.peer(honest) as RoguePeer;
  await using mallory = await HostilePeer.greeted(arena.mallory, address);
  const { keyThumbprint: agentKey } = rogue.peer(laptop) as RoguePeer;

  const terms = { agent: laptop, agentKey, connector: honest, subject: alice, services: [web] };
  const { sessionUid, signed: grant } = rogue.grant(terms);
  const [near, relayId] = rogue.join(rogue.peer(arena.mallory.id) as RoguePeer, connector);
  connector.control.send({
    type: 'sessionOffer',
    requestId: 0,
    sessionUid,
    relayId,
    peer: laptop,
    grant,
    attach: false,
  });
  const prefix = relayPrefix(near);
  const path = mallory.endpoint.addVirtualPath({
    carrier: mallory.connection,
    send: prefix,
    receive: prefix,
  });
  const inner = await mallory.endpoint.connect({ remote: path.address, alpn: [ALPN.SESSION] });
  inner.accept();
  expect(await inner.closed).toMatchObject({ kind: 'peer', code: NOT_AUTHORIZED });
  await expect.poll(ended).toBe(before + 1);
  expect(arena.stack.logs.warnings('connector').map(({ event }) => event)).toContain('inner.wrong-identity');
  await arena.unharmed();
});
