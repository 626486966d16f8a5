import { type Grant, type SessionUid, wireError } from '@ztna/wire';
import { describe, expect, it } from 'vitest';
import { agentId, connectorId, identityOf, intermediateId, subjectOf } from '../../test/simulation/names.ts';
import {
  CONNECTION,
  grantFor,
  greet,
  makeConnector,
  makePlane,
  NOW,
  offered,
  outputs,
  PEER_HELLO,
  relayId,
  UID,
  WEB,
} from '../../test/testing.ts';
import type { ConnectionKey, FlowKey, PeerIdentity } from '../types.ts';
import type { ConnectorCore } from './core.ts';
import type { FlowRequest } from './io.ts';

const FLOW = 9 as FlowKey;
const LAPTOP = identityOf('agent', 'laptop');

describe('ConnectorCore', () => {
  it('registers its services, accepts what its own snapshot allows, dials and records', () => {
    const { core, offer, open } = arrange();
    offer();
    expect(sent(core)).toMatchObject([
      { type: 'add-path', relayId: 7 },
      { message: { type: 'sessionAnswer', relayId: 7 } },
    ]);
    core.handleInput({ type: 'inner-connected', session: UID, identity: LAPTOP }, NOW);
    open();
    expect(sent(core)).toMatchObject([
      { type: 'accept-inner' },
      { type: 'dial', target: { backend: { host: '192.0.2.1' } } },
    ]);
    core.handleInput({ type: 'dial-succeeded', flow: FLOW }, NOW);
    core.handleInput({ type: 'flow-closed', flow: FLOW, sent: 5, received: 6, reason: 'finished' }, NOW + 3);
    expect(sent(core)).toMatchObject([
      { type: 'answer-flow' },
      {
        type: 'record',
        verdict: 'allowed',
        agent: LAPTOP.id,
        service: 'web',
        sent: 5,
        received: 6,
        closedAtMs: NOW + 3,
      },
    ]);
  });

  it.each<[string, Partial<Grant>, string]>([
    [
      'an agent that its snapshot does not allow',
      { agent: agentId('phone'), subject: subjectOf('phone') },
      'not-authorized',
    ],
    ['a subject that is not that of the agent', { subject: subjectOf('phone') }, 'not-authorized'],
    ['another connector', { connector: connectorId('far') }, 'grant-invalid'],
    ['an issuer that did not sign', { issuer: intermediateId('other') }, 'grant-invalid'],
    ['an expired grant', { notBeforeMs: NOW - 2, notAfterMs: NOW }, 'grant-expired'],
    ['a grant from the future', { notBeforeMs: NOW + 120_000 }, 'grant-invalid'],
    ['a service of somebody else', { services: ['mail' as typeof WEB] }, 'not-authorized'],
  ])('refuses an offer for %s', (_, change, code) => {
    const { core, offer } = arrange();
    offer(change, change.agent ?? LAPTOP.id);
    expect(sent(core)).toMatchObject([{ message: { type: 'sessionAnswer', error: { code } } }]);
    expect(core.stats().sessions).toBe(0);
  });

  it.each<[string, Partial<PeerIdentity>]>([
    ['another id', { id: agentId('phone') }],
    ['another key', { keyThumbprint: identityOf('agent', 'phone').keyThumbprint }],
    ['another role', { role: 'connector' }],
  ])('closes an inner connection with %s than the grant says', (_, change) => {
    const { core, offer } = arrange();
    offer();
    outputs(core);
    core.handleInput({ type: 'inner-connected', session: UID, identity: { ...LAPTOP, ...change } }, NOW);
    expect(sent(core)[0]).toMatchObject({ type: 'close-inner', error: { code: 'not-authorized' } });
  });

  it.each<[string, Partial<FlowRequest>, string]>([
    ['another subject', { subject: subjectOf('phone') }, 'not-authorized'],
    ['a service of another connector', { service: 'mail' as typeof WEB }, 'unknown-service'],
    ['a service that no rule lets it reach', { service: 'games' as typeof WEB }, 'not-authorized'],
    ['a port that the service does not have', { port: 81 }, 'unknown-service'],
    ['a transport that the service does not have', { transport: 'udp' }, 'unknown-service'],
  ])('refuses a flow with %s and records it', (_, change, code) => {
    const { core, open } = withSession();
    open(change);
    expect(sent(core)).toMatchObject([
      { type: 'refuse-flow', error: { code } },
      { type: 'record', verdict: 'refused', reason: code },
    ]);
  });

  it('passes on what became of the backend’s connection', () => {
    const { core, open } = withSession();
    open();
    core.handleInput(
      { type: 'dial-failed', flow: FLOW, code: 'backend-refused', reason: 'connection refused' },
      NOW,
    );
    expect(sent(core).slice(1)).toMatchObject([
      { type: 'refuse-flow', error: { code: 'backend-refused', message: 'connection refused' } },
      { type: 'record' },
    ]);
    expect(core.stats()).toMatchObject({ flows: 0, pendingDials: 0 });
  });

  it('bounds flows per session and pending dials', () => {
    const { core, open } = withSession({ maxFlowsPerSession: 3, maxPendingDials: 2 });
    for (const key of [1, 2, 3]) open({}, key);
    core.handleInput({ type: 'dial-succeeded', flow: 1 as FlowKey }, NOW);
    for (const key of [4, 5]) open({}, key);
    const refused = outputs(core).filter((output) => output.type === 'refuse-flow');
    expect(refused.map((output) => [output.flow, output.error.code])).toEqual([
      [3, 'limit'],
      [5, 'limit'],
    ]);
  });

  it('cuts open flows when the grant runs out, and keeps their figures', () => {
    const { core, open } = withSession();
    open();
    core.handleInput({ type: 'dial-succeeded', flow: FLOW }, NOW);
    outputs(core);
    core.handleTimeout(NOW + 600_000);
    expect(sent(core).map((output) => output.type)).toEqual(
      expect.arrayContaining(['cut-flow', 'close-inner']),
    );
    core.handleInput(
      { type: 'flow-closed', flow: FLOW, sent: 10, received: 20, reason: 'reset' },
      NOW + 600_001,
    );
    expect(sent(core)).toMatchObject([
      { type: 'record', verdict: 'cut', reason: 'grant-expired', sent: 10, received: 20 },
    ]);
  });

  it('ends a session whose agent does not come, and one that lost its policy', () => {
    const late = arrange();
    late.offer();
    late.core.handleTimeout(NOW + 10_000);
    expect(late.core.stats().sessions).toBe(0);
    const { core, plane } = withSession();
    plane.allowed.clear();
    core.handleInput({ type: 'snapshot', snapshot: plane.forConnector('near') }, NOW);
    expect(core.stats().sessions).toBe(0);
  });

  it('lets a session be attached by its agent only, and closed only by who carries it', () => {
    const { core, plane, offer } = withSession();
    const phone = identityOf('agent', 'phone');
    offer({ agent: phone.id, agentKey: phone.keyThumbprint, subject: subjectOf('phone') }, phone.id, true);
    expect(sent(core)).toMatchObject([{ message: { error: { code: 'unknown-session' } } }]);
    offer({}, LAPTOP.id, true, 8);
    expect(sent(core)).toMatchObject([{ type: 'rebind-path', relayId: 8 }, { message: { relayId: 8 } }]);
    core.handleInput(
      {
        type: 'outer-connected',
        connection: 2 as ConnectionKey,
        identity: identityOf('intermediate', 'other'),
      },
      NOW,
    );
    core.handleInput({ type: 'message', connection: 2 as ConnectionKey, message: PEER_HELLO }, NOW);
    const close = { type: 'closeSession', sessionUid: UID, reason: wireError('internal', 'x') } as const;
    core.handleInput({ type: 'message', connection: 2 as ConnectionKey, message: close }, NOW);
    expect(core.stats()).toMatchObject({ sessions: 1, connected: 2 });
    core.handleInput({ type: 'message', connection: CONNECTION, message: close }, NOW);
    expect(core.stats().sessions).toBe(0);
    expect(plane.revision).toBe(1);
  });

  it('lets one agent have only its share of the dials under way', () => {
    const { core, open } = withSession({ maxPendingDialsPerAgent: 2 });
    for (const key of [1, 2, 3]) open({}, key);
    expect(sent(core).map((output) => output.type)).toEqual(['dial', 'dial', 'refuse-flow', 'record']);
    core.handleInput({ type: 'dial-failed', flow: 1 as FlowKey, code: 'internal', reason: 'x' }, NOW);
    outputs(core);
    open({}, 4);
    expect(sent(core)).toMatchObject([{ type: 'dial', flow: 4 }]);
    expect(core.stats().pendingDials).toBe(2);
  });

  it('lets one agent have only its share of sessions, and gives it back', () => {
    const { core, plane, offer } = arrange({ maxSessionsPerAgent: 2 });
    plane.allowed.add('phone|web');
    core.handleInput({ type: 'snapshot', snapshot: plane.forConnector('near') }, NOW);
    outputs(core);
    for (const n of [1, 2, 3]) offer({ sessionUid: uid(n) });
    expect(answers(core)).toEqual(['ok', 'ok', 'limit']);
    const phone = identityOf('agent', 'phone');
    const theirs = { agent: phone.id, agentKey: phone.keyThumbprint, subject: subjectOf('phone') };
    offer({ ...theirs, sessionUid: uid(4) }, phone.id);
    core.handleInput({ type: 'inner-lost', session: uid(1), reason: 'x' }, NOW);
    expect(answers(core)).toEqual(['ok']);
    for (const n of [5, 6]) offer({ sessionUid: uid(n) });
    expect(answers(core)).toEqual(['ok', 'limit']);
  });

  it.each([
    ['of an agent', { maxSessionsPerAgent: 3 }],
    ['of all', { maxSessions: 3 }],
  ])('loses no places %s to an intermediate whose offers nobody takes up', (_, limits) => {
    const { core, offer, over, up } = arrange(limits);
    for (const n of [1, 2, 3, 4]) offer({ sessionUid: uid(n) });
    expect(answers(core)).toEqual(['ok', 'ok', 'ok', 'limit']);
    over.other({ sessionUid: uid(5) });
    up(5);
    over.other({ sessionUid: uid(6) });
    expect(answers(core)).toEqual(['ok', 'ok']);
    core.handleTimeout(NOW + 10_000);
    expect(core.stats().sessions).toBe(1);
    for (const n of [7, 8, 9]) offer({ sessionUid: uid(n) }, LAPTOP.id, false, 7, NOW + 10_000);
    expect(answers(core)).toEqual(['ok', 'ok', 'limit']);
  });

  it('lets no intermediate keep handshakes under way beyond the connection that it offered them over', () => {
    const { core, offer, over, up } = arrange();
    for (const n of [1, 2]) offer({ sessionUid: uid(n) });
    over.other({ sessionUid: uid(3) });
    up(1);
    outputs(core);
    core.handleInput({ type: 'outer-lost', connection: CONNECTION, reason: 'x' }, NOW);
    core.handleTimeout(NOW + 5_000);
    const connection = outputs(core).flatMap((o) => (o.type === 'connect' ? [o.connection] : []))[0];
    expect(connection).toBeDefined();
    greet(core, connection, NOW + 5_000);
    const ended = outputs(core).flatMap((o) => (o.type === 'close-inner' ? [o.session] : []));
    expect(ended).toEqual([uid(2)]);
    expect(core.stats().sessions).toBe(2);
  });

  it('has no more sessions open than the limit says, whichever intermediates they come over', () => {
    const { core, offer, over, up } = arrange({ maxSessionsPerAgent: 2 });
    for (const n of [1, 2]) offer({ sessionUid: uid(n) });
    for (const n of [3, 4]) over.other({ sessionUid: uid(n) });
    expect(answers(core)).toEqual(['ok', 'ok', 'ok', 'ok']);
    for (const n of [1, 3, 2, 4]) up(n);
    const ended = sent(core).flatMap((output) =>
      output.type === 'close-inner' ? [[output.session, output.error.code]] : [],
    );
    expect(ended).toEqual([
      [uid(2), 'limit'],
      [uid(4), 'limit'],
    ]);
    core.handleInput({ type: 'inner-lost', session: uid(1), reason: 'x' }, NOW);
    over.other({ sessionUid: uid(5) });
    expect(answers(core)).toEqual(['ok']);
  });

  it('lets one agent have only its share of flows, over all its sessions, and gives it back', () => {
    const { core, offer, open } = arrange({ maxFlowsPerAgent: 3 });
    for (const n of [1, 2]) {
      offer({ sessionUid: uid(n) });
      core.handleInput({ type: 'inner-connected', session: uid(n), identity: LAPTOP }, NOW);
    }
    outputs(core);
    const outcomes = () => sent(core).flatMap(({ type }) => (type === 'record' ? [] : [type]));
    for (const key of [1, 2]) open({}, key, uid(1));
    for (const key of [3, 4]) open({}, key, uid(2));
    expect(outcomes()).toEqual(['dial', 'dial', 'dial', 'refuse-flow']);
    core.handleInput({ type: 'dial-succeeded', flow: 1 as FlowKey }, NOW);
    core.handleInput({ type: 'flow-closed', flow: 1 as FlowKey, sent: 0, received: 0, reason: 'x' }, NOW);
    outputs(core);
    for (const key of [5, 6]) open({}, key, uid(2));
    expect(outcomes()).toEqual(['dial', 'refuse-flow']);
    core.handleInput({ type: 'inner-lost', session: uid(2), reason: 'x' }, NOW);
    outputs(core);
    for (const key of [7, 8, 9]) open({}, key, uid(1));
    expect(outcomes()).toEqual(['dial', 'dial', 'refuse-flow']);
  });

  it('believes no grant that is valid for years', () => {
    const { core, offer } = arrange();
    offer({ notAfterMs: NOW + 400 * 86_400_000 });
    expect(sent(core)).toMatchObject([{ message: { error: { code: 'grant-invalid' } } }]);
  });

  it('prolongs nothing under a snapshot that has expired', () => {
    const { core, plane, connection } = withSession();
    const snapshot = { ...plane.forConnector('near'), expiresAtMs: NOW + 1_000 };
    core.handleInput({ type: 'snapshot', snapshot }, NOW);
    const grant = grantFor(plane, { notBeforeMs: NOW + 2_000, notAfterMs: NOW + 3_600_000 });
    core.handleInput(
      { type: 'message', connection, message: { type: 'grantUpdate', requestId: 0, sessionUid: UID, grant } },
      NOW + 2_000,
    );
    core.handleTimeout(NOW + 600_000);
    expect(core.stats().sessions).toBe(0);
  });

  it('lets a flow wait a second for the grant update that it overtook', () => {
    const { core, open, plane, connection } = withSession({}, 'far');
    open({ service: 'mail' as typeof WEB });
    open({ service: 'mail' as typeof WEB }, 10);
    expect(sent(core)).toEqual([]);
    const grant = grantFor(plane, { connector: connectorId('far'), services: [WEB, 'mail' as typeof WEB] });
    core.handleInput(
      { type: 'message', connection, message: { type: 'grantUpdate', requestId: 0, sessionUid: UID, grant } },
      NOW + 500,
    );
    expect(sent(core)).toMatchObject([
      { type: 'dial', flow: FLOW },
      { type: 'dial', flow: 10 },
    ]);
  });
});

function uid(n: number): SessionUid {
  return n.toString(16).padStart(32, '0') as SessionUid;
}

function sent(core: ConnectorCore) {
  return outputs(core);
}

function answers(core: ConnectorCore): string[] {
  return sent(core).flatMap((output) =>
    output.type === 'send' && output.message.type === 'sessionAnswer'
      ? [output.message.error?.code ?? 'ok']
      : [],
  );
}

/** Connected and registered at `relay`; `over` has offers of others. */
function arrange(config: ConstructorParameters<typeof ConnectorCore>[1] = {}, name = 'near') {
  const plane = makePlane();
  const core = makeConnector(plane, { name, config });
  greet(core);
  expect(outputs(core).at(-1)).toMatchObject({
    message: { type: 'register', services: plane.layout.connectors[name] },
  });
  const offer = (change: Partial<Grant> = {}, peer = LAPTOP.id, attach = false, id = 7, now = NOW) => {
    const grant = grantFor(plane, { connector: connectorId(name), ...change });
    const { sessionUid = UID } = change;
    core.handleInput(offered({ requestId: 0, sessionUid, relayId: relayId(id), peer, grant, attach }), now);
  };
  const other = (change: Partial<Grant>) => {
    const connection = 2 as ConnectionKey;
    if (core.stats().connected < 2) greet(core, connection, NOW, identityOf('intermediate', 'other'));
    const grant = grantFor(plane, { connector: connectorId(name), ...change }, 'other');
    const { sessionUid = UID } = change;
    core.handleInput(offered({ requestId: 0, sessionUid, peer: LAPTOP.id, grant }, connection), NOW);
  };
  const up = (n: number) =>
    core.handleInput({ type: 'inner-connected', session: uid(n), identity: LAPTOP }, NOW);
  const open = (change: Partial<FlowRequest> = {}, key: number = FLOW, session = UID) => {
    const request: FlowRequest = {
      service: WEB,
      transport: 'tcp',
      port: 80,
      subject: subjectOf('laptop'),
      traceId: '',
      ...change,
    };
    core.handleInput({ type: 'flow-opened', session, flow: key as FlowKey, ...request }, NOW);
  };
  return { core, plane, offer, over: { other }, up, open, connection: CONNECTION };
}

function withSession(config: ConstructorParameters<typeof ConnectorCore>[1] = {}, name = 'near') {
  const all = arrange(config, name);
  all.offer();
  all.core.handleInput({ type: 'inner-connected', session: UID, identity: LAPTOP }, NOW);
  outputs(all.core);
  return all;
}
