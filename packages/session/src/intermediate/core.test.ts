import { type ControlMessage, type RelayId, type SessionUid, type WireError, wireError } from '@ztna/wire';
import { describe, expect, it } from 'vitest';
import { connectorId, identityOf, service } from '../../test/simulation/names.ts';
import {
  allOutputs,
  LOCAL,
  makePlane,
  NOW,
  outputs,
  PEER_HELLO,
  RELAY,
  relayId,
  WEB,
} from '../../test/testing.ts';
import { RELAY_ID_QUARANTINE_MS } from '../relay-ids.ts';
import type { ConnectionKey } from '../types.ts';
import { IntermediateCore } from './core.ts';
import type { IntermediateConfig, IntermediateOutput } from './io.ts';

const [AGENT, NEAR, FAR, LATER] = [1, 2, 3, 4] as ConnectionKey[] as [
  ConnectionKey,
  ConnectionKey,
  ConnectionKey,
  ConnectionKey,
];

describe('IntermediateCore', () => {
  it('installs forwarding after the connector’s answer and only then tells the agent', () => {
    const { core, open, answer } = arrange();
    const offer = open();
    expect(offer).toMatchObject({ peer: identityOf('agent', 'laptop').id, attach: false, relayId: 1 });
    answer(offer);
    const all = outputs(core);
    expect(all.map((output) => output.type)).toEqual(['install-rule', 'install-rule', 'send']);
    expect(all.at(-1)).toMatchObject({
      peer: AGENT,
      message: { type: 'sessionOffer', requestId: 1, peer: connectorId('near') },
    });
  });

  it('spreads sessions over connectors of the same service, heeding the list of excluded ones', () => {
    const { core, open, answer, join } = arrange();
    join(FAR, 'far');
    answer(open(1));
    expect(offered(outputs(core), FAR)).toBeUndefined();
    core.handleInput(from(AGENT, request(2)), NOW);
    expect(offered(outputs(core), FAR)).toBeDefined();
    core.handleInput(from(AGENT, { ...request(3), excludeConnectors: [connectorId('far')] }), NOW);
    expect(offered(outputs(core), NEAR)).toBeDefined();
  });

  it('offers to the next connector when one refuses or is silent, then tells the agent', () => {
    const { core, open, answer, join } = arrange();
    const first = open();
    join(FAR, 'far');
    answer(first, wireError('limit', 'full'));
    expect(offered(outputs(core), FAR)).toBeDefined();
    core.handleTimeout(NOW + 5_000);
    const all = outputs(core);
    expect(all).toMatchObject([
      { peer: FAR, message: { type: 'closeSession' } },
      { peer: AGENT, message: { type: 'error', error: { code: 'timeout', retryable: true, requestId: 1 } } },
    ]);
    expect(core.stats()).toMatchObject({ sessions: 0, offers: 0, timers: 0 });
  });

  it('lets nobody fill it with connections that never say Hello', () => {
    const { core } = arrange({ maxSilentPerIdentity: 2 });
    const connect = (peer: number, name: string) =>
      core.handleInput(
        { type: 'peer-connected', peer: peer as ConnectionKey, identity: identityOf('agent', name) },
        NOW,
      );
    for (const peer of [11, 12, 13]) connect(peer, 'phone');
    connect(14, 'laptop');
    expect(outputs(core)).toMatchObject([{ type: 'close-peer', peer: 13, error: { code: 'limit' } }]);
    core.handleInput(from(11 as ConnectionKey, PEER_HELLO), NOW);
    connect(15, 'phone');
    expect(core.stats().peers).toBe(6);
  });

  it('gives an identity no more messages for coming back', () => {
    const { core } = arrange({ messagesPerSecond: 10, messageBurst: 20 });
    let heard = 0;
    for (let peer = 100; peer < 200; peer++) {
      const key = peer as ConnectionKey;
      core.handleInput({ type: 'peer-connected', peer: key, identity: identityOf('agent', 'phone') }, NOW);
      core.handleInput(from(key, PEER_HELLO), NOW);
      for (let n = 1; n < 30; n++) core.handleInput(from(key, request(n)), NOW);
      const answered = ({ type, peer }: IntermediateOutput & { peer?: ConnectionKey }) =>
        type === 'send' && peer === key;
      heard += outputs(core).filter(answered).length;
      core.handleInput({ type: 'peer-gone', peer: key, reason: 'away' }, NOW);
    }
    expect(heard).toBeLessThanOrEqual(20);
    outputs(core);
    core.handleInput(from(AGENT, request(1)), NOW);
    expect(outputs(core)).not.toEqual([]);
  });

  it('ends the sessions of a peer whose certificate was revoked by serial, which only the shell knows', () => {
    const { core, open, answer } = arrange();
    answer(open());
    outputs(core);
    core.handleInput({ type: 'peer-refused', peer: AGENT, error: wireError('revoked', 'serial') }, NOW);
    expect(outputs(core).map((output) => output.type)).toEqual([
      'remove-rule',
      'remove-rule',
      'send',
      'close-peer',
    ]);
    expect(core.stats()).toMatchObject({ sessions: 0, peers: 1 });
  });

  it.each([
    ['a Goodbye is an orderly end', { type: 'goodbye', reason: 'it was a check' }, 'going-away'],
    ['a request is against the protocol', request(1), 'protocol'],
  ] as const)('before Hello %s', (_, message, code) => {
    const { core } = arrange();
    core.handleInput({ type: 'peer-connected', peer: LATER, identity: identityOf('agent', 'phone') }, NOW);
    core.handleInput(from(LATER, message), NOW);
    const all = allOutputs(core);
    expect(all).toContainEqual({ type: 'count', metric: 'peer_closed', cause: code });
    expect(all.at(-1)).toMatchObject({ type: 'close-peer', peer: LATER, error: { code } });
  });

  it.each([
    ['a service that no rule allows', 'games', 'not-authorized'],
    ['a service that does not exist', 'nothing', 'not-authorized'],
    ['a service whose connectors are away', 'mail', 'no-connector'],
  ])('refuses %s', (_, name, code) => {
    const { core } = arrange();
    core.handleInput(from(AGENT, { ...request(5), service: service(name) }), NOW);
    expect(outputs(core)).toMatchObject([
      { peer: AGENT, message: { type: 'error', error: { code, requestId: 5 } } },
    ]);
  });

  it('registers only what the snapshot lets a connector serve', () => {
    const { core, join } = arrange();
    join(FAR, 'evil', ['web', 'games']);
    expect(outputs(core)).toEqual([]);
    core.handleInput(
      from(FAR, { type: 'register', services: [WEB, service('games')], capacity: 0, labels: new Map() }),
      NOW,
    );
    expect(outputs(core)).toMatchObject([
      { message: { type: 'registered', services: ['games'], refused: ['web'] } },
    ]);
  });

  it('keeps an unfinished attachment’s relay id from other sessions', () => {
    const { core, open, answer, join } = arrange();
    const offer = open();
    answer(offer);
    const grant = grantIn(outputs(core));
    core.handleInput(
      from(AGENT, { type: 'attachPath', requestId: 2, sessionUid: offer.sessionUid, grant }),
      NOW,
    );
    const attach = offered(outputs(core), NEAR);
    core.handleInput({ type: 'peer-gone', peer: AGENT, reason: 'test' }, NOW);
    join(LATER, 'laptop');
    core.handleInput(from(LATER, request(1)), NOW + RELAY_ID_QUARANTINE_MS + 1);
    expect(attach?.relayId).toBe(2);
    expect(offered(outputs(core), NEAR)?.relayId).toBe(1);
    core.handleInput(from(LATER, request(2)), NOW + RELAY_ID_QUARANTINE_MS + 1);
    expect(offered(outputs(core), NEAR)?.relayId).toBe(3);
  });

  it.each<[string, { from?: ConnectionKey; relayId?: RelayId; error?: WireError }, number]>([
    ['a refusal', { error: wireError('not-authorized', 'no') }, 0],
    ['no acceptance', {}, 1],
    ['no refusal of an id that it left', { relayId: relayId(1), error: wireError('limit', 'full') }, 1],
    ['no refusal by another connector', { from: FAR, error: wireError('limit', 'full') }, 1],
  ])('lets %s end a session whose agent left during its attachment', (_, how, sessions) => {
    const { core, open, answer, join } = arrange();
    join(FAR, 'far');
    const { sessionUid } = open();
    answer({ sessionUid, relayId: relayId(1) });
    const grant = grantIn(outputs(core));
    core.handleInput(from(AGENT, { type: 'attachPath', requestId: 2, sessionUid, grant }), NOW);
    core.handleInput({ type: 'peer-gone', peer: AGENT, reason: 'test' }, NOW);
    outputs(core);
    const { from: peer = NEAR, ...more } = how;
    core.handleInput(from(peer, { type: 'sessionAnswer', sessionUid, relayId: relayId(2), ...more }), NOW);
    expect(core.stats().sessions).toBe(sessions);
    const told = sessions === 0 ? [{ peer: NEAR, message: { type: 'closeSession', sessionUid } }] : [];
    expect(outputs(core)).toMatchObject(told);
  });

  it('takes no attachment while it drains, whoever asks', () => {
    const { core, open, answer } = arrange();
    const offer = open();
    answer(offer);
    const grant = grantIn(outputs(core));
    core.handleInput({ type: 'drain', deadlineMs: 5_000, alternatives: [], reason: 'upgrade' }, NOW);
    outputs(core);
    core.handleInput(
      from(AGENT, { type: 'attachPath', requestId: 2, sessionUid: offer.sessionUid, grant }),
      NOW,
    );
    expect(outputs(core)).toContainEqual(
      expect.objectContaining({
        message: expect.objectContaining({
          type: 'error',
          error: expect.objectContaining({ code: 'going-away', requestId: 2 }),
        }),
      }),
    );
    expect(core.stats().offers).toBe(0);
  });

  it('ends sessions of a connector that restarted, and re-offers those of one that reconnected', () => {
    for (const restarted of [true, false]) {
      const { core, open, answer, join } = arrange();
      answer(open());
      outputs(core);
      const all = join(LATER, 'near', ['web'], restarted ? 9n : 2n);
      expect(core.stats().sessions).toBe(restarted ? 0 : 1);
      expect(offered(all, LATER)?.attach).toBe(restarted ? undefined : true);
    }
  });

  it.each([
    ['an agent', AGENT, NEAR, 'going-away'],
    ['a connector', NEAR, AGENT, 'no-connector'],
  ] as const)(
    'ends the sessions of %s that says Goodbye, and tells the other side',
    (_, leaving, other, code) => {
      const { core, open, answer } = arrange();
      answer(open());
      outputs(core);
      core.handleInput(from(leaving, { type: 'goodbye', reason: '' }), NOW);
      expect(outputs(core)).toMatchObject([
        { type: 'remove-rule' },
        { type: 'remove-rule' },
        { peer: other, message: { type: 'closeSession', reason: { code } } },
        { type: 'close-peer', peer: leaving, error: { code: 'going-away' } },
      ]);
      expect(core.stats()).toMatchObject({ sessions: 0, timers: 0 });
    },
  );

  it('removes forwarding when the policy changes, without waiting for anybody', () => {
    const { core, open, answer, plane } = arrange();
    answer(open());
    outputs(core);
    plane.allowed.delete('laptop|web');
    core.handleInput({ type: 'snapshot', snapshot: plane.forIntermediate() }, NOW);
    const all = outputs(core);
    expect(all.map((output) => output.type)).toEqual(['remove-rule', 'remove-rule', 'send', 'send']);
    expect(core.stats()).toMatchObject({ sessions: 0, timers: 0 });
  });

  it.each([
    ['agent', [AGENT, NEAR]],
    ['connector', [NEAR, AGENT]],
  ])('keeps nothing for identities that are gone, the %s first', (_, leaving) => {
    const { core, open, answer, join } = arrange();
    const silent = 5 as ConnectionKey;
    join(LATER, 'evil');
    core.handleInput({ type: 'peer-connected', peer: silent, identity: identityOf('agent', 'phone') }, NOW);
    for (const id of [1, 2]) answer(open(id));
    for (const peer of [...leaving, LATER, silent])
      core.handleInput({ type: 'peer-gone', peer, reason: 'test' }, NOW);
    expect(core.stats()).toEqual({ peers: 0, identities: 0, sessions: 0, offers: 0, timers: 0 });
  });

  it('ends a session at the end of its grant, and keeps no timer of one that was closed', () => {
    const { core, open, answer } = arrange();
    answer(open());
    core.handleTimeout(NOW + 600_000);
    expect(core.stats()).toMatchObject({ sessions: 0, timers: 0 });
    const offer = open(2);
    answer(offer);
    core.handleInput(from(NEAR, { type: 'closeSession', sessionUid: offer.sessionUid }), NOW);
    expect(core.stats()).toMatchObject({ sessions: 0, timers: 0 });
  });

  it('bounds what an agent may have open and pending, and all peers', () => {
    const { core, open, answer } = arrange({ maxSessionsPerAgent: 3, maxPendingPerAgent: 2, maxPeers: 2 });
    for (const id of [1, 2]) answer(open(id));
    open(3);
    core.handleInput(from(AGENT, request(4)), NOW);
    core.handleInput({ type: 'peer-connected', peer: LATER, identity: identityOf('agent', 'phone') }, NOW);
    expect(outputs(core)).toMatchObject([
      { message: { type: 'error', error: { code: 'limit', requestId: 4 } } },
      { type: 'close-peer', peer: LATER, error: { code: 'limit' } },
    ]);
  });

  it('bounds the sessions of an agent over all its connections', () => {
    const { core, open, answer, join } = arrange({ maxSessionsPerAgent: 2 });
    for (const id of [1, 2]) answer(open(id));
    join(LATER, 'laptop');
    core.handleInput(from(LATER, request(3)), NOW);
    expect(outputs(core)).toMatchObject([
      { peer: LATER, message: { type: 'error', error: { code: 'limit', requestId: 3 } } },
    ]);
  });

  it('opens nothing under an expired snapshot or while draining', () => {
    const { core, plane } = arrange();
    core.handleInput({ type: 'snapshot', snapshot: { ...plane.forIntermediate(), expiresAtMs: NOW } }, NOW);
    core.handleInput(from(AGENT, request(1)), NOW);
    core.handleInput({ type: 'drain', deadlineMs: 5_000, alternatives: [], reason: 'upgrade' }, NOW);
    core.handleInput(from(AGENT, request(2)), NOW);
    const codes = outputs(core).flatMap((output) =>
      output.type === 'send' && output.message.type === 'error' ? [output.message.error.code] : [],
    );
    expect(codes).toEqual(['stale-snapshot', 'going-away']);
  });
});

/** An intermediate with `laptop` and, serving `web`, `near`. */
function arrange(config: Partial<IntermediateConfig> = {}) {
  const plane = makePlane();
  let uids = 0;
  const randomSessionUid = () => (++uids).toString(16).padStart(32, '0') as SessionUid;
  const core = new IntermediateCore(
    {
      id: RELAY.id,
      local: LOCAL,
      randomSessionUid,
      signGrant: plane.sign(RELAY.id),
      verifyGrant: plane.verify,
    },
    config,
  );
  core.handleInput({ type: 'snapshot', snapshot: plane.forIntermediate() }, NOW);
  const join = (
    peer: ConnectionKey,
    name: string,
    services = plane.layout.connectors[name],
    instance = 2n,
  ) => {
    const role = services ? 'connector' : 'agent';
    core.handleInput({ type: 'peer-connected', peer, identity: identityOf(role, name) }, NOW);
    core.handleInput(from(peer, { ...PEER_HELLO, instance }), NOW);
    const register = {
      type: 'register',
      services: (services ?? []).map(service),
      capacity: 0,
      labels: new Map(),
    } as const;
    if (services) core.handleInput(from(peer, register), NOW);
    return outputs(core);
  };
  join(AGENT, 'laptop');
  join(NEAR, 'near');
  const open = (id = 1) => {
    core.handleInput(from(AGENT, request(id)), NOW);
    const offer = offered(outputs(core), NEAR);
    if (!offer) throw new Error('no offer');
    return offer;
  };
  const answer = (to: Pick<Offer, 'sessionUid' | 'relayId'>, error?: WireError) => {
    const { sessionUid, relayId } = to;
    core.handleInput(
      from(NEAR, { type: 'sessionAnswer', sessionUid, relayId, ...(error && { error }) }),
      NOW,
    );
  };
  return { core, plane, join, open, answer };
}

type Offer = Extract<ControlMessage, { type: 'sessionOffer' }>;

function request(requestId: number) {
  return { type: 'openSession', requestId, service: WEB, excludeConnectors: [] } as const;
}

function from(peer: ConnectionKey, message: ControlMessage) {
  return { type: 'message', peer, message } as const;
}

function offered(all: readonly { type: string }[], peer: ConnectionKey): Offer | undefined {
  for (const output of all as { type: string; peer?: ConnectionKey; message?: ControlMessage }[]) {
    if (output.peer === peer && output.message?.type === 'sessionOffer') return output.message;
  }
  return undefined;
}

function grantIn(all: { type: string }[]) {
  const offer = offered(all, AGENT);
  if (!offer) throw new Error('the agent has no offer');
  return offer.grant;
}
