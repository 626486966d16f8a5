import { type SessionAnswer, type SessionUid, type WireError, wireError } from '@ztna/wire';
import type { ConnectionKey } from '../types.ts';
import { tryNextConnector } from './open.ts';
import { addSession, closeSession, forgetOffer, forgetSession, setSide } from './sessions.ts';
import type { IntermediateState, Offer, Peer, Session, Side } from './state.ts';

/** Books an offer that waits for its connector to be here; `attach` only. */
export function awaitConnector(state: IntermediateState, offer: Offer, now: number) {
  bookOffer(state, offer);
  state.timers.set(`offer:${offer.uid}`, now + state.config.attachWaitMs, { type: 'offer', uid: offer.uid });
}

/** Sends a SessionOffer to the connector and waits for the answer. */
export function offerTo(state: IntermediateState, offer: Offer, connector: Peer, now: number) {
  const relayId = connector.relayIds.allocate(now);
  offer.side = { peer: connector.key, relayId };
  connector.offers.add(offer.uid);
  bookOffer(state, offer);
  state.timers.set(`offer:${offer.uid}`, now + state.config.answerTimeoutMs, {
    type: 'offer',
    uid: offer.uid,
  });
  state.send(connector.key, {
    type: 'sessionOffer',
    requestId: 0,
    sessionUid: offer.uid,
    relayId,
    peer: offer.grant.agent,
    grant: offer.signed,
    attach: offer.kind !== 'open',
  });
}

/** The connector's SessionAnswer. One that nobody waits for is counted and has no effect. */
export function onAnswer(state: IntermediateState, from: ConnectionKey, answer: SessionAnswer, now: number) {
  const offer = state.offers.get(answer.sessionUid);
  if (offer?.side?.peer !== from || offer.side.relayId !== answer.relayId)
    return onLateAnswer(state, from, answer, now);
  if (answer.error) return refuseOffer(state, offer, answer.error, now);
  acceptOffer(state, offer, now);
}

/** An answer that nobody waits for: a refusal still ends what was kept by `leaveAttachment`. */
function onLateAnswer(state: IntermediateState, from: ConnectionKey, answer: SessionAnswer, now: number) {
  state.count('message_ignored', 'answer-unknown-offer');
  const session = state.sessions.get(answer.sessionUid);
  const side = session?.connectorSide;
  if (!session || !answer.error || side?.peer !== from || side.relayId !== answer.relayId) return;
  closeSession(state, session, answer.error, now);
}

/** No answer in time, or an awaited connector did not come. */
export function onOfferTimeout(state: IntermediateState, uid: SessionUid, now: number) {
  const offer = state.offers.get(uid);
  if (!offer) return;
  const why = offer.side
    ? 'the connector did not answer in time'
    : 'the connector is not here; try again soon';
  const error = wireError(offer.side ? 'timeout' : 'no-connector', why);
  if (offer.kind === 'open') withdrawOffer(state, offer, error, now);
  else leaveAttachment(state, offer, now);
  refuseOffer(state, offer, error, now);
}

/** The connector said no, or nothing: the next one for `open`, an error to the agent for `attach`. */
export function refuseOffer(state: IntermediateState, offer: Offer, error: WireError, now: number) {
  forgetOffer(state, offer.uid, now);
  state.count('offer_refused', error.code);
  switch (offer.kind) {
    case 'open':
      return tryNextConnector(
        state,
        { ...offer, exclude: new Set([...offer.exclude, offer.connector]) },
        error,
        now,
      );
    case 'attach': {
      const before = state.sessions.get(offer.uid);
      if (before && !error.retryable)
        closeSession(state, before, error, now, { agent: false, connector: true });
      return state.sendError(offer.agentPeer, { ...error, requestId: offer.requestId });
    }
    case 'reattach': {
      const session = state.sessions.get(offer.uid);
      if (session && !error.retryable) closeSession(state, session, error, now);
    }
  }
}

/** Withdraws an offer that the policy no longer allows, or an `open` whose agent is gone: the connector drops it. */
export function withdrawOffer(state: IntermediateState, offer: Offer, reason: WireError, now: number) {
  forgetOffer(state, offer.uid, now);
  if (offer.side) state.send(offer.side.peer, { type: 'closeSession', sessionUid: offer.uid, reason });
}

/**
 * Nobody waits for this attachment any more, but the connector has moved the session to its relay id or is
 * about to: keep the id as the session's, so that it is not given to another session meanwhile.
 */
export function leaveAttachment(state: IntermediateState, offer: Offer, now: number) {
  forgetOffer(state, offer.uid, now, true);
  if (!offer.side) return;
  const session = state.sessions.get(offer.uid);
  if (session) return setSide(state, session, 'connectorSide', offer.side, now);
  addSession(state, sessionOf(offer, undefined, offer.side));
}

function bookOffer(state: IntermediateState, offer: Offer) {
  state.offers.set(offer.uid, offer);
  state.peers.get(offer.agentPeer)?.offers.add(offer.uid);
}

function acceptOffer(state: IntermediateState, offer: Offer, now: number) {
  const { side } = offer;
  const agent = state.peers.get(offer.agentPeer);
  forgetOffer(state, offer.uid, now, true);
  if (!side || !agent) return;
  const before = state.sessions.get(offer.uid);
  if (offer.kind === 'reattach') {
    if (!before) return;
    state.timers.cancel(`grace:${offer.uid}`);
    return setSide(state, before, 'connectorSide', side, now);
  }
  if (before) forgetSession(state, before, now);
  const agentSide = { peer: agent.key, relayId: agent.relayIds.allocate(now) };
  const session = sessionOf(offer, agentSide, side);
  addSession(state, session);
  tellAgent(state, session, offer);
}

function sessionOf(offer: Offer, agentSide: Side | undefined, connectorSide: Side): Session {
  const { uid, connector, grant, signed } = offer;
  return {
    uid,
    agent: grant.agent,
    connector,
    subject: grant.subject,
    grant,
    signed,
    agentSide,
    connectorSide,
  };
}

function tellAgent(state: IntermediateState, session: Session, offer: Offer) {
  const side = session.agentSide;
  if (!side) return;
  state.send(side.peer, {
    type: 'sessionOffer',
    requestId: offer.requestId,
    sessionUid: session.uid,
    relayId: side.relayId,
    peer: session.connector,
    grant: session.signed,
    attach: offer.kind === 'attach',
  });
  state.count('session_opened', offer.kind);
}
