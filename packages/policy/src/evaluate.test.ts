import { describe, expect, it } from 'vitest';
import {
  mayAcceptSession,
  mayBeServedBy,
  mayOpenFlow,
  mayOpenSession,
  registrable,
  subjectsOf,
} from './evaluate.ts';
import {
  agent,
  anyIntermediate,
  configure,
  connector,
  contentOf,
  sampleInput,
  service,
  who,
} from './testing.ts';

const alice = who('laptop', 'alice');
const web = service('web');

describe('at an intermediate', () => {
  const content = anyIntermediate(configure(sampleInput()));

  it('a session that a policy allows names the rule and the connectors', () => {
    expect(mayOpenSession(content, alice, web)).toEqual({
      allowed: true,
      rule: 'staff-web',
      connectors: [connector('berlin/c1'), connector('berlin/c2')],
    });
  });

  for (const [what, requester, name] of [
    ['another person', who('desk', 'bob'), 'web'],
    ['a service in no policy of hers', alice, 'db'],
    ['a service that does not exist', alice, 'nothing'],
    ["alice's name on bob's device", who('desk', 'alice'), 'web'],
    ["bob's name on alice's device", who('laptop', 'bob'), 'web'],
    ['a device that nobody knows', who('stranger', 'alice'), 'web'],
  ] as const) {
    it(`denies ${what}`, () => {
      expect(mayOpenSession(content, requester, service(name))).toEqual({
        allowed: false,
        reason: 'no-rule',
      });
    });
  }

  it('denies a revoked agent, and leaves out a revoked connector', () => {
    const revoked = { ...content, revoked: [agent('laptop'), connector('berlin/c1')] };
    expect(mayOpenSession(revoked, alice, web)).toEqual({ allowed: false, reason: 'revoked' });
    const phone = mayOpenSession(revoked, who('phone', 'alice'), web);
    expect(phone).toMatchObject({ allowed: true, connectors: [connector('berlin/c2')] });
  });

  it('denies a service without connectors', () => {
    const bare = { ...content, services: [] };
    expect(mayOpenSession(bare, alice, web)).toEqual({ allowed: false, reason: 'no-connector' });
  });

  it('a connector may register its own services alone', () => {
    const both = [web, service('db')];
    expect(registrable(content, connector('berlin/c1'), both)).toEqual({
      services: ['web'],
      refused: ['db'],
    });
    expect(registrable(content, connector('berlin/c9'), both)).toEqual({ services: [], refused: both });
  });

  it('knows the subject behind an agent', () => {
    expect(subjectsOf(content, agent('laptop'))).toEqual(['alice']);
    expect(subjectsOf(content, agent('desk'))).toEqual([]);
  });
});

describe('at a connector', () => {
  const content = contentOf(configure(sampleInput()), 'connector', connector('berlin/c1'));

  it('a flow that is allowed gets its target', () => {
    const flow = mayOpenFlow(content, alice, web, 'tcp', 443);
    expect(flow).toMatchObject({
      allowed: true,
      rule: 'staff-web',
      target: { backend: { host: '10.0.0.1', port: 8443 } },
    });
  });

  it('port 0 means the only port of the transport', () => {
    expect(mayOpenFlow(content, alice, web, 'udp', 0)).toMatchObject({ allowed: true });
    expect(mayOpenFlow(content, alice, web, 'tcp', 0)).toEqual({ allowed: false, reason: 'unknown-port' });
  });

  it('denies other ports, other people, other services, revoked agents', () => {
    expect(mayOpenFlow(content, alice, web, 'tcp', 22)).toMatchObject({ reason: 'unknown-port' });
    expect(mayOpenFlow(content, alice, web, 'udp', 80)).toMatchObject({ reason: 'unknown-port' });
    expect(mayOpenFlow(content, who('desk', 'bob'), web, 'tcp', 80)).toMatchObject({ reason: 'no-rule' });
    expect(mayOpenFlow(content, alice, service('db'), 'tcp', 5432)).toMatchObject({ reason: 'no-rule' });
    const revoked = { ...content, revoked: [agent('laptop')] };
    expect(mayOpenFlow(revoked, alice, web, 'tcp', 80)).toMatchObject({ reason: 'revoked' });
    expect(mayAcceptSession(revoked, alice, web)).toMatchObject({ reason: 'revoked' });
  });

  it('a rule for a service that it does not serve opens nothing', () => {
    const bare = { ...content, services: [] };
    expect(mayOpenFlow(bare, alice, web, 'tcp', 80)).toMatchObject({ reason: 'unknown-service' });
    expect(mayAcceptSession(bare, alice, web)).toMatchObject({ reason: 'unknown-service' });
    expect(mayAcceptSession(content, alice, web)).toMatchObject({ allowed: true });
  });
});

describe('at an agent', () => {
  const content = contentOf(configure(sampleInput()), 'agent', agent('laptop'));

  it('takes a service only from the connectors that its snapshot names', () => {
    expect(mayBeServedBy(content, web, connector('berlin/c2'))).toMatchObject({ allowed: true });
    expect(mayBeServedBy(content, web, connector('paris/c1'))).toMatchObject({
      reason: 'not-served-by-connector',
    });
    expect(mayBeServedBy(content, service('db'), connector('paris/c1'))).toMatchObject({
      reason: 'unknown-service',
    });
    const revoked = { ...content, revoked: [connector('berlin/c2')] };
    expect(mayBeServedBy(revoked, web, connector('berlin/c2'))).toMatchObject({ reason: 'revoked' });
  });
});
