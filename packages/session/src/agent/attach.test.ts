import type { Grant, SessionOffer, SessionUid } from '@ztna/wire';
import { describe, expect, it } from 'vitest';
import { connectorId, identityOf, subjectOf } from '../../test/simulation/names.ts';
import {
  allOutputs,
  CONNECTION,
  grantFor,
  greet,
  makeAgent,
  makePlane,
  NOW,
  offered,
  outputs,
  relayId,
  UID,
  WEB,
} from '../../test/testing.ts';
import type { ConnectionKey, FlowKey } from '../types.ts';

const AGAIN = 2 as ConnectionKey;
/** Late enough to connect at once. */
const BACK = NOW + 1_000;
const OTHER = 'ffeeddccbbaa99887766554433221100' as SessionUid;

describe('an attachment', () => {
  it('moves the path of the session for which it was asked', () => {
    const { core, answer } = lostAndBack();
    answer();
    expect(outputs(core)).toEqual([
      { type: 'rebind-path', session: UID, connection: AGAIN, relayId: relayId(9) },
    ]);
    expect(core.stats().requests).toBe(0);
  });

  it.each<[string, Partial<SessionOffer>, Partial<Grant>]>([
    ['says it is a new session', { attach: false }, {}],
    ['is for another session', { sessionUid: OTHER }, {}],
    ['leads to another connector', { peer: connectorId('far') }, {}],
    ['has a grant for another connector', {}, { connector: connectorId('far') }],
    ['has a grant for another subject', {}, { subject: subjectOf('phone') }],
  ])('is refused when the answer %s, and asked for again', (_, offer, grant) => {
    const { core, answer } = lostAndBack();
    answer(offer, grant);
    const refused = allOutputs(core);
    expect(refused).toContainEqual(expect.objectContaining({ type: 'event', event: 'offer.refused' }));
    expect(refused.map(({ type }) => type)).not.toContain('rebind-path');
    expect(core.stats()).toMatchObject({ sessions: 1, requests: 0 });
    const again = core.pollTimeout() ?? Number.NaN;
    expect(again).toBeLessThanOrEqual(BACK + 1_000);
    core.handleTimeout(again);
    expect(outputs(core)).toMatchObject([
      { connection: AGAIN, message: { type: 'attachPath', sessionUid: UID } },
    ]);
  });

  it('that is refused ends a session that this side does not have, and never one that it has', () => {
    const [strange, own] = [lostAndBack(), lostAndBack()];
    strange.answer({ sessionUid: OTHER });
    expect(outputs(strange.core)).toMatchObject([{ message: { type: 'closeSession', sessionUid: OTHER } }]);
    own.answer({ attach: false });
    expect(outputs(own.core)).toEqual([]);
  });
});

/** A session that is up, whose intermediate was lost and is back on connection AGAIN: AttachPath has been sent. */
function lostAndBack() {
  const plane = makePlane();
  const core = makeAgent(plane);
  greet(core);
  core.handleInput(
    { type: 'flow-requested', flow: 1 as FlowKey, service: WEB, transport: 'tcp', port: 80 },
    NOW,
  );
  core.handleInput(offered({ peer: connectorId('near'), grant: grantFor(plane) }), NOW);
  core.handleInput({ type: 'inner-connected', session: UID, identity: identityOf('connector', 'near') }, NOW);
  core.handleInput({ type: 'outer-lost', connection: CONNECTION, reason: 'test' }, BACK);
  greet(core, AGAIN, BACK);
  const request = outputs(core).at(-1);
  expect(request).toMatchObject({ connection: AGAIN, message: { type: 'attachPath', sessionUid: UID } });
  const answer = (offer: Partial<SessionOffer> = {}, grant: Partial<Grant> = {}) => {
    const usual = { requestId: 2, peer: connectorId('near'), relayId: relayId(9), attach: true };
    core.handleInput(offered({ ...usual, grant: grantFor(plane, grant), ...offer }, AGAIN), BACK);
  };
  return { core, answer };
}
