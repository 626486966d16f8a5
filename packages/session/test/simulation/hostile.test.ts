import { describe, expect, it } from 'vitest';
import { Attacker } from './attacker.ts';
import { identityOf, service, type TENANT } from './names.ts';
import { World } from './world.ts';

const LAYOUT = {
  agents: ['victim', 'mallory'],
  intermediates: ['relay'],
  connectors: { honest: ['web'], evil: ['games'] },
};

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
