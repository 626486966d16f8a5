import { type SessionOffer, type SessionUid, type WireError, wireError } from '@ztna/wire';
import type { ConnectionKey } from '../types.ts';
import { serveAll } from './flows.ts';
import { endSession, refuseOffer, replaceGrant } from './sessions.ts';
import type { AgentSession, AgentState } from './state.ts';

const RETRY_MS = 1_000;

/** Asks the intermediate for a path for a session that exists, by showing its grant. */
export function attach(state: AgentState, session: AgentSession, now: number) {
  const { connection } = state.link;
  if (connection === undefined || isAttaching(state, session.uid)) return;
  const requestId = state.request({ type: 'attach', uid: session.uid }, now);
  const message = { type: 'attachPath', requestId, sessionUid: session.uid, grant: session.signed } as const;
  state.outbox.push({ type: 'send', connection, message });
}

/** The session has a relay id on the new connection: its virtual path moves there. */
export function onAttached(
  state: AgentState,
  connection: ConnectionKey,
  offer: SessionOffer,
  uid: SessionUid,
  now: number,
) {
  const session = state.sessions.get(uid);
  const fits = session && offer.attach && offer.sessionUid === uid && offer.peer === session.connector;
  if (!fits || !replaceGrant(state, session, offer.grant, now)) {
    refuseOffer(state, connection, offer, 'not what was to be attached');
    if (session) retryAttach(state, session, now);
    return;
  }
  session.path = { connection, relayId: offer.relayId };
  session.doubtful = false;
  session.attachError = undefined;
  state.timers.cancel(`attach:${uid}`);
  state.outbox.push({ type: 'rebind-path', session: uid, connection, relayId: offer.relayId });
  state.count('session_attached', 'ok');
  settleMove(state);
  serveAll(state, now);
}

/** The intermediate refused: the session is over, or may be attached in a moment. */
export function onAttachFailed(state: AgentState, uid: SessionUid, error: WireError, now: number) {
  const session = state.sessions.get(uid);
  state.count('session_attached', error.code);
  if (session) session.attachError = error;
  if (session && !error.retryable)
    endSession(state, session, { ...error, requestId: 0 }, now, { avoid: error.code === 'unknown-session' });
  else if (session) retryAttach(state, session, now);
  settleMove(state);
}

export function onAttachTimeout(state: AgentState, uid: SessionUid, now: number) {
  onAttachFailed(state, uid, wireError('timeout', 'no answer to AttachPath'), now);
}

/** The session ended: an answer under way concerns nobody. */
export function cancelAttach(state: AgentState, uid: SessionUid) {
  for (const [id, request] of state.requests) {
    if (request.type !== 'open' && request.uid === uid) state.settle(id);
  }
}

function retryAttach(state: AgentState, session: AgentSession, now: number) {
  session.doubtful = true;
  const delay = Math.round(RETRY_MS / 2 + (RETRY_MS / 2) * state.deps.random());
  state.timers.set(`attach:${session.uid}`, now + delay, { type: 'attach', uid: session.uid });
  serveAll(state, now);
}

function isAttaching(state: AgentState, uid: SessionUid): boolean {
  return [...state.requests.values()].some((request) => request.type === 'attach' && request.uid === uid);
}

/** When no attachment is under way any more, the connection before this one has served its time. */
function settleMove(state: AgentState) {
  const moving = [...state.requests.values()].some((request) => request.type === 'attach');
  if (!moving) state.link.releasePrevious();
}
