import type { Rng } from '@ztna/sim';
import {
  type ControlMessage,
  encodeControlMessage,
  encodeGrant,
  type RelayId,
  type Revision,
  type SessionUid,
  type SignedGrant,
} from '@ztna/wire';
import { describe, expect, it } from 'vitest';
import type { PeerIdentity } from '../../src/types.ts';
import { FakeConnection } from './fake-quic.ts';
import { agentId, connectorId, identityOf, service, TENANT } from './names.ts';
import { World } from './world.ts';

const LAYOUT = {
  agents: ['victim', 'mallory'],
  intermediates: ['relay'],
  connectors: { honest: ['web'], evil: ['games'] },
};
const EVERY_TYPE = 12;

describe('a hostile agent with a valid certificate', () => {
  it('gains nothing by messages in any order, and costs the others nothing', () => {
    for (let seed = 1; seed <= 40; seed++) {
      const { world, flow } = arrange(seed);
      const mallory = new Attacker(world, identityOf('agent', 'mallory'));
      attack(world, mallory);
      expect(world.model.failures, `seed ${seed}`).toEqual([]);
      expect(world.agents.get('victim')?.flows.get(flow), `seed ${seed}`).toBe('open');
      expect(rulesBetween(world), `seed ${seed}`).toEqual(['agent/victim', 'connector/site/honest']);
    }
  });

  it('cannot take over the session of another agent with its uid and its grant', () => {
    const { world, flow } = arrange(1);
    const mallory = new Attacker(world, identityOf('agent', 'mallory'));
    const [{ grant, signed } = { grant: undefined, signed: undefined }] = world.plane.issued;
    if (!grant || !signed) throw new Error('no grant');
    mallory.hello();
    mallory.send({ type: 'attachPath', requestId: 1, sessionUid: grant.sessionUid, grant: signed });
    mallory.send({ type: 'closeSession', sessionUid: grant.sessionUid });
    mallory.send({
      type: 'extendGrant',
      requestId: 2,
      sessionUid: grant.sessionUid,
      services: [service('web')],
    });
    world.time.run(2_000);
    expect(mallory.errors).toEqual(['grant-invalid', 'unknown-session']);
    expect(world.agents.get('victim')?.flows.get(flow)).toBe('open');
  });

  it('is cut off when it floods, before it has cost much', () => {
    const { world } = arrange(1);
    const mallory = new Attacker(world, identityOf('agent', 'mallory'));
    mallory.hello();
    for (let i = 1; i <= 1_000; i++)
      mallory.send({ type: 'openSession', requestId: i, service: service('web'), excludeConnectors: [] });
    world.time.run(3_000);
    expect(mallory.lost).toContain('limit');
    expect(mallory.errors.length).toBeLessThan(500);
  });

  it('is closed when it says anything before Hello, or nothing at all', () => {
    const { world } = arrange(1);
    const rude = new Attacker(world, identityOf('agent', 'mallory'));
    rude.send({ type: 'openSession', requestId: 1, service: service('web'), excludeConnectors: [] });
    const silent = new Attacker(world, identityOf('agent', 'mallory'));
    world.time.run(6_000);
    expect(rude.lost).toContain('protocol');
    expect(silent.lost).toContain('timeout');
  });
});

describe('a peer of the wrong kind', () => {
  it.each([
    ['another tenant in its certificate', { tenant: 'other' as typeof TENANT }, 'wrong-tenant'],
    ['the role of an intermediate', { role: 'intermediate' as const }, 'not-authorized'],
  ])('with %s is refused', (_, change, code) => {
    const { world } = arrange(1);
    const peer = new Attacker(world, { ...identityOf('agent', 'mallory'), ...change });
    peer.hello();
    world.time.run(1_000);
    expect(peer.lost).toContain(code);
  });
});

describe('a hostile connector', () => {
  it('is never chosen for a service that is not its own, and closes nobody else’s session', () => {
    for (let seed = 1; seed <= 40; seed++) {
      const { world, flow } = arrange(seed);
      world.kill('evil');
      const evil = new Attacker(world, identityOf('connector', 'evil'));
      evil.hello();
      evil.send({
        type: 'register',
        services: [service('web'), service('games')],
        capacity: 0,
        labels: new Map(),
      });
      attack(world, evil);
      world.kill('honest');
      world.time.run(1_000);
      expect(world.reaches('victim', 'web', 2_000)).toBe(false);
      expect(evil.offers).toBe(0);
      expect(world.model.failures, `seed ${seed}`).toEqual([]);
      expect(flow).toBeGreaterThan(0);
    }
  });
});

function arrange(seed: number) {
  const world = new World(seed, LAYOUT, [['victim', 'web']]);
  world.startAll();
  world.kill('mallory');
  expect(world.reaches('victim', 'web', 3_000)).toBe(true);
  const [flow] = world.agents.get('victim')?.flows.keys() ?? [];
  if (flow === undefined) throw new Error('no flow');
  return { world, flow };
}

/** The identities that forwarding rules join. */
function rulesBetween(world: World): string[] {
  const relay = world.intermediates.get('relay');
  const ids = [...(relay?.rules.values() ?? [])].map(
    (rule) => relay?.peers.get(rule.from)?.identity.id ?? 'nobody',
  );
  return ids.map((id) => id.replace('spiffe://example.org/default/', '')).sort();
}

/** Random messages, connecting anew when thrown out, for a minute. */
function attack(world: World, attacker: Attacker) {
  for (let i = 0; i < 60; i++) {
    if (attacker.lost) attacker.reconnect();
    if (attacker.rng.chance(0.9)) attacker.hello();
    for (let n = attacker.rng.int(6); n > 0; n--) attacker.send(attacker.invent());
    attacker.sendDatagram();
    world.time.run(1_000);
  }
}

/** Speaks for itself: whatever it likes, to the intermediate. */
class Attacker {
  readonly rng: Rng;
  readonly errors: string[] = [];
  lost: string | undefined;
  offers = 0;
  readonly #world: World;
  readonly #identity: PeerIdentity;
  #connection: FakeConnection;

  constructor(world: World, identity: PeerIdentity) {
    this.#world = world;
    this.#identity = identity;
    this.rng = world.rng.fork();
    this.#connection = this.#connect();
  }

  reconnect() {
    this.lost = undefined;
    this.#connection.dispose();
    this.#connection = this.#connect();
  }

  hello() {
    const versions = [2];
    this.send({
      type: 'hello',
      versions,
      features: [],
      tenant: TENANT,
      timeMs: 0,
      instance: 1n,
      software: '',
      revision: 0 as Revision,
    });
  }

  send(message: ControlMessage) {
    this.#connection.send(encodeControlMessage(message));
  }

  sendDatagram() {
    const packet = { connection: 'inner-guess', frame: { kind: 'hi', identity: this.#identity } } as const;
    this.#connection.sendDatagram(this.rng.int(8), packet);
  }

  /** Any message, with uids and grants that were overheard, forged or made up. */
  invent(): ControlMessage {
    const { rng } = this;
    const requestId = 1 + rng.int(5);
    const sessionUid = this.#anyUid();
    const relayId = (1 + rng.int(5)) as RelayId;
    const grant = this.#anyGrant();
    const services = [service(rng.pick(['web', 'games', 'nothing']))];
    const error = { code: 'limit', message: 'x', retryable: true, requestId } as const;
    const messages: ControlMessage[] = [
      { type: 'register', services, capacity: 0, labels: new Map() },
      { type: 'registered', services, refused: [] },
      { type: 'openSession', requestId, service: services[0] ?? service('web'), excludeConnectors: [] },
      {
        type: 'sessionOffer',
        requestId,
        sessionUid,
        relayId,
        peer: connectorId('honest'),
        grant,
        attach: rng.chance(0.5),
      },
      { type: 'sessionAnswer', sessionUid, relayId },
      { type: 'sessionAnswer', sessionUid, relayId, error },
      { type: 'attachPath', requestId, sessionUid, grant },
      { type: 'extendGrant', requestId, sessionUid, services },
      { type: 'grantUpdate', requestId, sessionUid, grant },
      { type: 'closeSession', sessionUid },
      { type: 'error', error },
      { type: 'goodbye', reason: '' },
    ];
    return messages[rng.int(EVERY_TYPE)] as ControlMessage;
  }

  #anyUid(): SessionUid {
    const { issued } = this.#world.plane;
    const random = Array.from(this.rng.bytes(16), (b) => b.toString(16).padStart(2, '0')).join(
      '',
    ) as SessionUid;
    return issued.length > 0 && this.rng.chance(0.8) ? this.rng.pick(issued).grant.sessionUid : random;
  }

  #anyGrant(): SignedGrant {
    const { grant, signed } = this.rng.pick(this.#world.plane.issued);
    const forged = { ...grant, agent: agentId('mallory'), agentKey: this.#identity.keyThumbprint };
    return this.rng.chance(0.5) ? signed : { ...signed, grant: encodeGrant(forged) };
  }

  #connect(): FakeConnection {
    const { time, network } = this.#world;
    const id = `attacker#${this.#world.nextKey()}`;
    const node = `attacker-${id}`;
    const connection: FakeConnection = new FakeConnection({
      id,
      side: 'client',
      self: this.#identity,
      time,
      idleMs: 12_000,
      transmit: (packet) => network.send(node, 'relay', packet),
      onOpen: () => {},
      onMessage: (bytes) => this.#onMessage(bytes as Uint8Array),
      onLost: (reason) => {
        this.lost = reason;
      },
    });
    network.start(node, (packet) => connection.receive(packet.frame));
    return connection;
  }

  #onMessage(bytes: Uint8Array) {
    const message = this.#world.decode(bytes);
    if (message?.type === 'error' && message.error.requestId > 0) this.errors.push(message.error.code);
    if (message?.type === 'sessionOffer') this.offers++;
  }
}
