import { type WireErrorCode, wireError } from '@ztna/wire';
import { describe, expect, it } from 'vitest';
import type { Core, EventOutput, FlowKey } from '../src/types.ts';
import { connectorId, identityOf } from './simulation/names.ts';
import {
  allOutputs,
  CONNECTION,
  grantFor,
  greet,
  makeAgent,
  makeConnector,
  makePlane,
  NOW,
  offered,
  UID,
  WEB,
} from './testing.ts';

const FLOW = 1 as FlowKey;
const IDLE_MS = 300_000;
const sides = { agent, connector };

describe.each(['agent', 'connector'] as const)('a session that is up tells once at its %s', (side) => {
  const other =
    side === 'agent' ? { connector: connectorId('near') } : { agent: identityOf('agent', 'laptop').id };

  it('that it was lost when its connection broke', () => {
    const { core, ends } = sides[side]();
    core.handleInput({ type: 'inner-lost', session: UID, reason: 'timeout' }, NOW);
    expect(ends()).toEqual([['session.lost', { session: UID, ...other, reason: 'timeout' }]]);
  });

  it('that it ended when the other side closed it, and why', () => {
    const { core, ends } = sides[side]();
    const reason = 'peer: going-away: idle';
    core.handleInput({ type: 'inner-lost', session: UID, reason, code: 'going-away' }, NOW);
    expect(ends()).toEqual([['session.ended', { session: UID, ...other, code: 'going-away', reason }]]);
  });

  it('that it ended when the intermediate said so', () => {
    const { core, ends } = sides[side]();
    const message = {
      type: 'closeSession',
      sessionUid: UID,
      reason: wireError('not-authorized', 'policy'),
    } as const;
    core.handleInput({ type: 'message', connection: CONNECTION, message }, NOW);
    expect(ends()).toEqual([
      ['session.ended', { session: UID, ...other, code: 'not-authorized', reason: 'policy' }],
    ]);
  });

  it('that it ended when this side stops', () => {
    const { core, ends } = sides[side]();
    core.handleInput({ type: 'stop', reason: 'it stops' }, NOW);
    expect(ends()).toMatchObject([['session.ended', { code: 'going-away', reason: 'it stops' }]]);
  });
});

it('an agent says that a session without flows ended because it was idle', () => {
  const { core, ends } = agent();
  core.handleInput({ type: 'flow-closed', flow: FLOW }, NOW);
  core.handleTimeout(NOW + IDLE_MS);
  expect(ends()).toMatchObject([['session.ended', { session: UID, code: 'going-away', reason: 'idle' }]]);
});

it.each<WireErrorCode>(['revoked', 'going-away'])(
  'a session that never came up is lost, %s or not',
  (code) => {
    const { core, ends } = agent(false);
    core.handleInput({ type: 'inner-lost', session: UID, reason: `peer: ${code}`, code }, NOW);
    expect(ends()).toMatchObject([['session.lost', { reason: `peer: ${code}` }]]);
  },
);

function agent(up = true) {
  const plane = makePlane();
  const core = makeAgent(plane);
  greet(core);
  core.handleInput({ type: 'flow-requested', flow: FLOW, service: WEB, transport: 'tcp', port: 80 }, NOW);
  core.handleInput(offered({ peer: connectorId('near'), grant: grantFor(plane) }), NOW);
  const identity = identityOf('connector', 'near');
  if (up) core.handleInput({ type: 'inner-connected', session: UID, identity }, NOW);
  return { core, ends: () => endsOf(core) };
}

function connector() {
  const plane = makePlane();
  const core = makeConnector(plane);
  greet(core);
  const identity = identityOf('agent', 'laptop');
  core.handleInput(offered({ requestId: 0, peer: identity.id, grant: grantFor(plane) }), NOW);
  core.handleInput({ type: 'inner-connected', session: UID, identity }, NOW);
  return { core, ends: () => endsOf(core) };
}

function endsOf(core: Core<never, { readonly type: string }>) {
  const events = allOutputs(core).filter((output): output is EventOutput => output.type === 'event');
  return events
    .filter(({ event }) => event === 'session.ended' || event === 'session.lost')
    .map(({ event, fields }) => [event, fields]);
}
