import { type SessionUid, type WireError, wireError } from '@ztna/wire';
import type { ConnectionKey } from '../types.ts';
import type { ForwardingRule } from './io.ts';
import { addTo, type IntermediateState, removeFrom, type Session, type Side } from './state.ts';

/** Puts a session in the books and, when both sides are here, installs its forwarding. */
export function addSession(state: IntermediateState, session: Session) {
  state.sessions.set(session.uid, session);
  addTo(state.sessionsOf, session.agent, session.uid);
  addTo(state.sessionsOf, session.connector, session.uid);
  for (const side of [session.agentSide, session.connectorSide]) {
    if (side) state.peers.get(side.peer)?.sessions.add(session.uid);
  }
  setExpiry(state, session);
  emitRules(state, session, 'install-rule');
}

export function setExpiry(state: IntermediateState, session: Session) {
  state.timers.set(`expiry:${session.uid}`, session.grant.notAfterMs, { type: 'expiry', uid: session.uid });
}

/** Ends a session: forwarding goes first, then those who are to know are told. */
export function closeSession(
  state: IntermediateState,
  session: Session,
  reason: WireError,
  now: number,
  tell: { readonly agent: boolean; readonly connector: boolean } = { agent: true, connector: true },
) {
  const { uid, agent, connector, agentSide, connectorSide } = session;
  const pending = state.offers.get(session.uid);
  forgetSession(state, session, now);
  forgetOffer(state, session.uid, now);
  const connectorPeer = connectorSide?.peer ?? pending?.side?.peer;
  const message = { type: 'closeSession', sessionUid: session.uid, reason } as const;
  if (tell.agent && agentSide) state.send(agentSide.peer, message);
  if (tell.connector && connectorPeer !== undefined) state.send(connectorPeer, message);
  state.count('session_closed', reason.code);
  state.event('info', 'session.closed', { session: uid, agent, connector, reason: reason.code });
}

/** Takes a session out of the books without telling anybody. */
export function forgetSession(state: IntermediateState, session: Session, now: number) {
  setSide(state, session, 'agentSide', undefined, now);
  setSide(state, session, 'connectorSide', undefined, now);
  state.sessions.delete(session.uid);
  removeFrom(state.sessionsOf, session.agent, session.uid);
  removeFrom(state.sessionsOf, session.connector, session.uid);
  state.timers.cancel(`expiry:${session.uid}`);
  state.timers.cancel(`grace:${session.uid}`);
}

/** Replaces one side; the relay id of the one before is released and forwarding follows. */
export function setSide(
  state: IntermediateState,
  session: Session,
  which: 'agentSide' | 'connectorSide',
  side: Side | undefined,
  now: number,
) {
  const before = session[which];
  emitRules(state, session, 'remove-rule');
  if (before) {
    const peer = state.peers.get(before.peer);
    peer?.relayIds.release(before.relayId, now);
    peer?.sessions.delete(session.uid);
  }
  session[which] = side;
  if (side) state.peers.get(side.peer)?.sessions.add(session.uid);
  emitRules(state, session, 'install-rule');
}

/** The agent's connection is gone: the record stays, so that the connector's relay id is not given out anew. */
export function detachAgent(state: IntermediateState, session: Session, now: number) {
  setSide(state, session, 'agentSide', undefined, now);
  if (!session.connectorSide) forgetSession(state, session, now);
}

/** The connector's connection is gone: the agent waits, for a while. */
export function detachConnector(state: IntermediateState, session: Session, now: number) {
  setSide(state, session, 'connectorSide', undefined, now);
  if (!session.agentSide) return forgetSession(state, session, now);
  const at = now + state.config.connectorGraceMs;
  state.timers.set(`grace:${session.uid}`, at, { type: 'grace', uid: session.uid });
}

export function onExpiry(state: IntermediateState, uid: SessionUid, now: number) {
  const session = state.sessions.get(uid);
  if (session)
    closeSession(state, session, wireError('grant-expired', 'the grant ran out without being renewed'), now);
}

export function onGraceOver(state: IntermediateState, uid: SessionUid, now: number) {
  const session = state.sessions.get(uid);
  if (session)
    closeSession(
      state,
      session,
      wireError('no-connector', 'the connector did not come back; open a new session'),
      now,
    );
}

/** CloseSession from either side. */
export function onCloseSession(
  state: IntermediateState,
  from: ConnectionKey,
  uid: SessionUid,
  reason: WireError,
  now: number,
) {
  const session = state.sessions.get(uid);
  const byAgent = session?.agentSide?.peer === from;
  const byConnector = session?.connectorSide?.peer === from;
  if (!session || !(byAgent || byConnector)) return state.count('message_ignored', 'close-unknown-session');
  closeSession(state, session, reason, now, { agent: !byAgent, connector: !byConnector });
}

/** Takes an offer out of the books and releases the connector's relay id, unless it became the session's. */
export function forgetOffer(state: IntermediateState, uid: SessionUid, now: number, keepRelayId = false) {
  const offer = state.offers.get(uid);
  if (!offer) return;
  state.offers.delete(uid);
  state.timers.cancel(`offer:${uid}`);
  state.peers.get(offer.agentPeer)?.offers.delete(uid);
  if (!offer.side) return;
  const connector = state.peers.get(offer.side.peer);
  connector?.offers.delete(uid);
  if (!keepRelayId) connector?.relayIds.release(offer.side.relayId, now);
}

function emitRules(state: IntermediateState, session: Session, type: 'install-rule' | 'remove-rule') {
  const { agentSide, connectorSide } = session;
  if (!agentSide || !connectorSide) return;
  state.outbox.push({ type, ...rule(session.uid, agentSide, connectorSide) });
  state.outbox.push({ type, ...rule(session.uid, connectorSide, agentSide) });
}

function rule(session: SessionUid, from: Side, to: Side): ForwardingRule {
  return { session, from: from.peer, fromRelayId: from.relayId, to: to.peer, toRelayId: to.relayId };
}
