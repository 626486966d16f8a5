import { type Grant, type SessionOffer, wireError } from '@ztna/wire';
import { describe, expect, it } from 'vitest';
import { agentId, connectorId, identityOf, intermediateId, subjectOf } from '../../test/simulation/names.ts';
import {
  grantFor,
  greet,
  makeAgent,
  makePlane,
  NOW,
  offered,
  outputs,
  PEER_HELLO,
  UID,
  WEB,
} from '../../test/testing.ts';
import type { ConnectionKey, FlowKey } from '../types.ts';
import type { AgentCore } from './core.ts';
import type { AgentOutput } from './io.ts';

const FLOW = 1 as FlowKey;

describe('AgentCore', () => {
  it('opens a session for the first flow, and starts it when the inner peer is the offered one', () => {
    const { core, offer } = arrange();
    offer({});
    expect(outputs(core)).toEqual([
      { type: 'open-inner', session: UID, connection: 1, relayId: 7, peer: connectorId('near') },
    ]);
    core.handleInput(
      { type: 'inner-connected', session: UID, identity: identityOf('connector', 'near') },
      NOW,
    );
    const ready = {
      type: 'flow-ready',
      flow: FLOW,
      session: UID,
      service: WEB,
      transport: 'tcp',
      port: 80,
      subject: subjectOf('laptop'),
    };
    expect(outputs(core)).toEqual([{ type: 'accept-inner', session: UID }, ready]);
  });

  it.each<[string, Partial<Grant>, string]>([
    [
      'a connector that the snapshot does not name for the service',
      { connector: connectorId('evil') },
      'evil',
    ],
    ['a grant for another connector', { connector: connectorId('far') }, 'near'],
    ['a grant for another agent', { agent: agentId('phone') }, 'near'],
    ['a grant for another key', { agentKey: identityOf('agent', 'phone').keyThumbprint }, 'near'],
    ['a grant for another subject', { subject: subjectOf('phone') }, 'near'],
    ['a grant without the service', { services: ['mail' as typeof WEB] }, 'near'],
    ['a grant that has expired', { notBeforeMs: NOW - 2, notAfterMs: NOW - 1 }, 'near'],
    ['a grant that claims another issuer', { issuer: intermediateId('other') }, 'near'],
  ])('refuses an offer with %s, and dials nothing', (_, change, peer) => {
    const { core, offer } = arrange();
    offer(change, peer);
    expect(
      outputs(core).map((output) => (output.type === 'send' ? output.message.type : output.type)),
    ).toEqual(['closeSession']);
  });

  it('refuses an attachment where a session was asked for', () => {
    const { core, offer } = arrange();
    offer({}, 'near', { attach: true });
    expect(outputs(core)).toMatchObject([{ type: 'send', message: { type: 'closeSession' } }]);
    expect(core.stats().sessions).toBe(0);
  });

  it('refuses a session under the id of another, and keeps that one', () => {
    const { core, offer } = arrange();
    offer({});
    const mail = 'mail' as typeof WEB;
    const flow = 2 as FlowKey;
    core.handleInput({ type: 'flow-requested', flow, service: mail, transport: 'tcp', port: 80 }, NOW);
    expect(outputs(core).at(-1)).toMatchObject({ message: { type: 'openSession', requestId: 2 } });
    offer({ connector: connectorId('far'), services: [mail] }, 'far', { requestId: 2 });
    expect(outputs(core)).toEqual([]);
    core.handleInput(
      { type: 'inner-connected', session: UID, identity: identityOf('connector', 'near') },
      NOW,
    );
    expect(outputs(core)).toMatchObject([
      { type: 'accept-inner', session: UID },
      { type: 'flow-ready', flow: FLOW },
    ]);
  });

  it.each([
    ['another connector of the same service', identityOf('connector', 'far')],
    ['an agent', { ...identityOf('connector', 'near'), role: 'agent' as const }],
  ])('closes the inner connection when %s is behind it', (_, identity) => {
    const { core, offer } = arrange();
    offer({});
    outputs(core);
    core.handleInput({ type: 'inner-connected', session: UID, identity }, NOW);
    expect(outputs(core).map((output) => output.type)).toEqual(expect.arrayContaining(['close-inner']));
    expect(outputs(core)).toEqual([]);
    expect(core.stats().sessions).toBe(0);
  });

  it('leaves an intermediate whose certificate is not that of the snapshot', () => {
    const core = makeCore();
    core.handleInput(
      {
        type: 'outer-connected',
        connection: 1 as ConnectionKey,
        identity: identityOf('intermediate', 'other'),
      },
      NOW,
    );
    expect(outputs(core).map((output) => output.type)).toEqual(['connect', 'disconnect']);
  });

  it('tells the application what to do when no policy allows the flow', () => {
    const { core } = arrange();
    const error = wireError('not-authorized', 'no policy', 1);
    core.handleInput(
      { type: 'message', connection: 1 as ConnectionKey, message: { type: 'error', error } },
      NOW,
    );
    expect(outputs(core)).toMatchObject([
      {
        type: 'flow-failed',
        flow: FLOW,
        error: { code: 'not-authorized', message: 'service web: no policy' },
      },
    ]);
  });

  describe('knows why a flow in a session has no answer', () => {
    const inSession = () => {
      const all = arrange();
      all.offer({});
      const identity = identityOf('connector', 'near');
      all.core.handleInput({ type: 'inner-connected', session: UID, identity }, NOW);
      return { ...all, connection: 1 as ConnectionKey };
    };
    const silent = { code: 'timeout', message: expect.stringMatching(/^service web: no intermediate/) };

    it('with a path: that the connector is silent', () => {
      expect(inSession().core.whyUnanswered(FLOW)).toBeUndefined();
    });

    it('while the intermediate does not answer, and when its connection is gone: that', () => {
      const { core, connection } = inSession();
      core.handleInput({ type: 'outer-stalled', connection }, NOW);
      expect(core.whyUnanswered(FLOW)).toMatchObject(silent);
      core.handleInput({ type: 'outer-recovered', connection }, NOW);
      expect(core.whyUnanswered(FLOW)).toBeUndefined();
      core.handleInput({ type: 'outer-lost', connection, reason: 'timeout' }, NOW);
      expect(core.whyUnanswered(FLOW)).toMatchObject(silent);
    });

    it('on a direct path: that the connector is silent, whatever the intermediate does', () => {
      const { core, connection } = inSession();
      core.handleInput({ type: 'direct', session: UID, inUse: true }, NOW);
      core.handleInput({ type: 'outer-lost', connection, reason: 'timeout' }, NOW);
      expect(core.whyUnanswered(FLOW)).toBeUndefined();
    });

    it('at an intermediate that cannot attach the session: what that says', () => {
      const { core, connection } = inSession();
      outputs(core);
      core.handleInput({ type: 'outer-lost', connection, reason: 'timeout' }, NOW);
      core.handleTimeout(NOW + 2_000);
      const again = outputs(core).find((output) => output.type === 'connect');
      const other = { connection: again?.connection as ConnectionKey };
      const identity = identityOf('intermediate', again?.to.name ?? '');
      core.handleInput({ type: 'outer-connected', ...other, identity }, NOW + 2_000);
      core.handleInput({ type: 'message', ...other, message: PEER_HELLO }, NOW + 2_000);
      const sent = outputs(core).flatMap((output) => (output.type === 'send' ? [output.message] : []));
      const attach = sent.find((message) => message.type === 'attachPath');
      const error = wireError('no-connector', 'the connector is not here', attach?.requestId);
      core.handleInput({ type: 'message', ...other, message: { type: 'error', error } }, NOW + 2_000);
      expect(core.whyUnanswered(FLOW)).toMatchObject({
        ...{ code: 'no-connector', message: 'service web: the connector is not here' },
      });
    });
  });

  it('tells at once, and once, that flows wait and for what', () => {
    const { core } = arrange();
    const waiting = [
      { event: 'flow.waiting', fields: { service: 'web', code: 'no-connector', reason: 'none is here' } },
    ];
    const told: AgentOutput[] = [];
    for (let requestId = 1, now = NOW; requestId <= 3; requestId++) {
      const message = { type: 'error', error: wireError('no-connector', 'none is here', requestId) } as const;
      core.handleInput({ type: 'message', connection: 1 as ConnectionKey, message }, now);
      now = core.pollTimeout() ?? now;
      core.handleTimeout(now);
      for (let output = core.pollOutput(); output; output = core.pollOutput())
        if (output.type === 'event') told.push(output);
      expect(told).toMatchObject(waiting);
    }
  });

  it('tries again while an error may pass, and gives up after the flow timeout with the last reason', () => {
    const { core } = arrange();
    let requests = 1;
    for (let now = NOW; now < NOW + 10_000; ) {
      const error = wireError('no-connector', 'none is here', requests);
      core.handleInput(
        { type: 'message', connection: 1 as ConnectionKey, message: { type: 'error', error } },
        now,
      );
      now = core.pollTimeout() ?? NOW + 10_000;
      core.handleTimeout(now);
      for (const output of outputs(core)) {
        if (output.type === 'send' && output.message.type === 'openSession')
          requests = output.message.requestId;
        if (output.type !== 'flow-failed') continue;
        expect(output.error).toMatchObject({ code: 'no-connector', message: 'service web: none is here' });
        expect(requests).toBeGreaterThan(4);
        return;
      }
    }
    expect.unreachable('the flow must fail');
  });

  it.each([
    ['in a message', 'message'],
    ['by the code of the close', 'close'],
  ])('ends its sessions at once when the intermediate says %s that it was revoked', (_, how) => {
    const { core, offer } = arrange();
    offer({});
    core.handleInput(
      { type: 'inner-connected', session: UID, identity: identityOf('connector', 'near') },
      NOW,
    );
    outputs(core);
    const connection = 1 as ConnectionKey;
    const message = { type: 'error', error: wireError('revoked', 'gone') } as const;
    if (how === 'message') core.handleInput({ type: 'message', connection, message }, NOW);
    else core.handleInput({ type: 'outer-lost', connection, reason: 'closed', code: 'revoked' }, NOW);
    expect(outputs(core)[0]).toMatchObject({ type: 'close-inner', session: UID, error: { code: 'revoked' } });
    expect(core.stats()).toMatchObject({ sessions: 0, queuedFlows: 0 });
  });

  it('says once that the intermediate turns it away, and tells the flows that waited', () => {
    const core = makeCore();
    const all: AgentOutput[] = [];
    core.handleInput({ type: 'flow-requested', flow: FLOW, service: WEB, transport: 'tcp', port: 80 }, NOW);
    let connection = 1 as ConnectionKey;
    for (let now = NOW; now < NOW + 60_000 && !all.some(({ type }) => type === 'flow-failed'); ) {
      const code = 'not-authorized';
      core.handleInput({ type: 'outer-lost', connection, reason: 'wrong role', code }, now);
      now = core.pollTimeout() ?? NOW + 60_000;
      core.handleTimeout(now);
      for (let output = core.pollOutput(); output; output = core.pollOutput()) {
        if (output.type === 'connect') connection = output.connection;
        all.push(output);
      }
    }
    const refusals = all.filter(
      (output) => output.type === 'event' && output.event === 'intermediate.refused',
    );
    expect(refusals).toMatchObject([
      { level: 'warn', fields: { intermediate: 'relay', code: 'not-authorized' } },
    ]);
    expect(all.filter(({ type }) => type === 'flow-failed')).toMatchObject([
      {
        error: {
          code: 'not-authorized',
          message: expect.stringContaining('refuses this agent (wrong role)'),
        },
      },
    ]);
  });

  it('fails flows once both intermediates refuse it, and no longer after files were read again', () => {
    const plane = makePlane();
    const core = makeCore({}, plane);
    const failed = () =>
      outputs(core).flatMap((o) => (o.type === 'flow-failed' ? [[o.flow, o.error.code]] : []));
    const want = (flow: number) =>
      core.handleInput(
        { type: 'flow-requested', flow: flow as FlowKey, service: WEB, transport: 'tcp', port: 80 },
        NOW + 500,
      );
    core.handleTimeout(NOW + 500);
    want(1);
    for (const connection of [1, 2] as ConnectionKey[]) {
      expect(failed()).toEqual([]);
      const reason = 'peer: not-authorized: expired';
      core.handleInput({ type: 'outer-lost', connection, reason, code: 'not-authorized' }, NOW + 500);
    }
    want(2);
    expect(failed()).toEqual([
      [1, 'not-authorized'],
      [2, 'not-authorized'],
    ]);
    core.handleInput({ type: 'snapshot', snapshot: plane.forAgent('laptop') }, NOW + 500);
    want(3);
    expect(failed()).toEqual([]);
    expect(core.stats()).toMatchObject({ queuedFlows: 1 });
  });

  it('keeps its sessions when the intermediate closes for another reason', () => {
    const { core, offer } = arrange();
    offer({});
    core.handleInput(
      { type: 'outer-lost', connection: 1 as ConnectionKey, reason: 'closed', code: 'going-away' },
      NOW,
    );
    expect(core.stats().sessions).toBe(1);
  });

  it('says at once that a service is unknown, and bounds the queue', () => {
    const core = makeCore({ maxQueuedFlows: 2 });
    const want = (flow: number, name: string) =>
      core.handleInput(
        {
          type: 'flow-requested',
          flow: flow as FlowKey,
          service: name as typeof WEB,
          transport: 'tcp',
          port: 80,
        },
        NOW,
      );
    want(1, 'secret');
    for (const flow of [2, 3, 4]) want(flow, 'web');
    const failed = outputs(core).filter((output) => output.type === 'flow-failed');
    expect(failed.map((output) => [output.flow, output.error.code])).toEqual([
      [1, 'unknown-service'],
      [4, 'limit'],
    ]);
    core.handleInput({ type: 'stop', reason: 'test' }, NOW);
    expect(core.stats()).toMatchObject({ queuedFlows: 0, timers: 0 });
  });
});

function makeCore(config: ConstructorParameters<typeof AgentCore>[1] = {}, plane = makePlane()) {
  return makeAgent(plane, { config });
}

/** Connected, with a flow that waits for the answer to OpenSession 1. */
function arrange() {
  const plane = makePlane();
  const core = makeCore({}, plane);
  greet(core);
  core.handleInput({ type: 'flow-requested', flow: FLOW, service: WEB, transport: 'tcp', port: 80 }, NOW);
  outputs(core);
  const offer = (change: Partial<Grant>, peer = 'near', more: Partial<SessionOffer> = {}) => {
    core.handleInput(offered({ peer: connectorId(peer), grant: grantFor(plane, change), ...more }), NOW);
  };
  return { core, offer };
}
