import {
  type CloseSession,
  type Grant,
  type SessionOffer,
  type SessionUid,
  type SignedGrant,
  type SpiffeId,
  type WireError,
  wireError,
} from '@ztna/wire';
import { checkGrant, type GrantCheck } from '../grant.ts';
import { isIssuer } from '../snapshot.ts';
import type { ConnectionKey, PeerIdentity } from '../types.ts';
import { attach, cancelAttach } from './attach.ts';
import { tellPathPolicy } from './direct.ts';
import { mayServe, onServiceFailed, serveAll, watchIdle } from './flows.ts';
import type { AgentInput } from './io.ts';
import type { AgentRequest, AgentSession, AgentState } from './state.ts';

/** An offer that answers OpenSession: checked against this side's own snapshot before anything is dialled. */
export function onOffer(
  state: AgentState,
  connection: ConnectionKey,
  offer: SessionOffer,
  request: AgentRequest,
  now: number,
) {
  if (request.type !== 'open') return refuseOffer(state, connection, offer, 'the answer is of another kind');
  const checked = judgeOffer(state, offer, request.service, now);
  if (!checked.ok) {
    refuseOffer(state, connection, offer, checked.reason);
    avoid(state, offer.peer, now);
    return onServiceFailed(
      state,
      request.service,
      { ...wireError('grant-invalid', checked.reason), retryable: true },
      now,
    );
  }
  const session: AgentSession = {
    uid: offer.sessionUid,
    connector: offer.peer,
    grant: checked.grant,
    signed: offer.grant,
    up: false,
    path: { connection, relayId: offer.relayId },
    direct: false,
    policy: undefined,
    doubtful: false,
    attachError: undefined,
    flows: new Map(),
    notServed: new Map(),
  };
  state.sessions.set(session.uid, session);
  watchGrant(state, session, now);
  state.timers.set(`inner:${session.uid}`, now + state.config.innerTimeoutMs, {
    type: 'inner',
    uid: session.uid,
  });
  state.outbox.push({
    type: 'open-inner',
    session: session.uid,
    connection,
    relayId: offer.relayId,
    peer: offer.peer,
  });
}

/** An offer that this side will not use: say so, so that nothing is kept for it. */
export function refuseOffer(
  state: AgentState,
  connection: ConnectionKey,
  offer: SessionOffer,
  reason: string,
) {
  state.event('warn', 'offer.refused', {
    intermediate: state.link.intermediate,
    session: offer.sessionUid,
    peer: offer.peer,
    reason,
  });
  state.count('offer_refused', 'agent');
  if (state.sessions.has(offer.sessionUid)) return;
  const message: CloseSession = {
    type: 'closeSession',
    sessionUid: offer.sessionUid,
    reason: wireError('grant-invalid', reason),
  };
  state.outbox.push({ type: 'send', connection, message });
}

/** The inner handshake: the peer must be the very connector that was offered, and be listed. */
export function onInnerConnected(state: AgentState, uid: SessionUid, identity: PeerIdentity, now: number) {
  const session = state.sessions.get(uid);
  if (!session || session.up) {
    const error = wireError('unknown-session', 'no inner connection is expected');
    if (!session) state.outbox.push({ type: 'close-inner', session: uid, error });
    return;
  }
  const genuine =
    identity.id === session.connector &&
    identity.role === 'connector' &&
    identity.tenant === state.deps.local.tenant;
  if (!genuine || !isListed(state, session)) {
    state.event('warn', 'inner.wrong-identity', { expected: session.connector, got: identity.id });
    return endSession(
      state,
      session,
      wireError('not-authorized', 'the inner peer is not the connector that was offered'),
      now,
      { avoid: true },
    );
  }
  session.up = true;
  state.avoided.delete(session.connector);
  state.timers.cancel(`inner:${uid}`);
  // Before it is accepted: the peer shows its addresses at once, and somebody has to listen.
  tellPathPolicy(state, session);
  state.outbox.push({ type: 'accept-inner', session: uid });
  state.event('info', 'session.up', { session: uid, connector: session.connector });
  watchIdle(state, session, now);
  serveAll(state, now);
}

export function onInnerLost(
  state: AgentState,
  { session: uid, reason, code }: Extract<AgentInput, { type: 'inner-lost' }>,
  now: number,
) {
  const session = state.sessions.get(uid);
  if (!session) return;
  tellEnd(state, session, reason, session.up ? code : undefined);
  endSession(state, session, wireError('no-connector', `the connector was lost: ${reason}`), now, {
    avoid: true,
    innerGone: true,
  });
}

/** Ends a session on this side: inner connection, path, books; tells the intermediate unless it said so. */
export function endSession(
  state: AgentState,
  session: AgentSession,
  error: WireError,
  now: number,
  how: { readonly avoid?: boolean; readonly innerGone?: boolean; readonly told?: boolean } = {},
) {
  const { uid } = session;
  if (session.up && !how.innerGone) tellEnd(state, session, error.message, error.code);
  state.sessions.delete(uid);
  for (const timer of ['inner', 'attach', 'renew', 'expiry', 'idle']) state.timers.cancel(`${timer}:${uid}`);
  for (const flow of session.flows.keys()) state.sessionOfFlow.delete(flow);
  cancelAttach(state, uid);
  if (how.avoid) avoid(state, session.connector, now);
  state.outbox.push({ type: 'close-inner', session: uid, error });
  state.count('session_ended', error.code);
  const { connection } = state.link;
  if (connection !== undefined && !how.told) {
    state.outbox.push({
      type: 'send',
      connection,
      message: { type: 'closeSession', sessionUid: uid, reason: error },
    });
  }
  serveAll(state, now);
}

/** Once for each session: it ended by the word of a side, which is `code`, or was lost. */
function tellEnd(state: AgentState, session: AgentSession, reason: string, code?: WireError['code']) {
  const { uid, connector } = session;
  if (code === undefined) return state.event('info', 'session.lost', { session: uid, connector, reason });
  state.event('info', 'session.ended', { session: uid, connector, code, reason });
}

/** A grant for a session that exists: by GrantUpdate, or with an attachment. */
export function replaceGrant(
  state: AgentState,
  session: AgentSession,
  signed: SignedGrant,
  now: number,
): boolean {
  const checked = judgeGrant(state, session.uid, session.connector, signed, now);
  if (!checked.ok) {
    state.count('grant_refused', checked.code);
    return false;
  }
  session.grant = checked.grant;
  session.signed = signed;
  watchGrant(state, session, now);
  tellPathPolicy(state, session);
  return true;
}

/** Renewal at two thirds of what is left, end at the end. */
export function watchGrant(state: AgentState, session: AgentSession, now: number) {
  const { uid, grant } = session;
  const left = Math.max(0, grant.notAfterMs - now);
  state.timers.set(`renew:${uid}`, now + Math.round((left * 2) / 3), { type: 'renew', uid });
  state.timers.set(`expiry:${uid}`, grant.notAfterMs, { type: 'expiry', uid });
}

const RENEW_RETRY_MS = 5_000;

/** Asks for a new grant; asks again later as long as there is no answer. */
export function renew(state: AgentState, session: AgentSession, now: number) {
  const { connection } = state.link;
  state.timers.set(`renew:${session.uid}`, now + RENEW_RETRY_MS, { type: 'renew', uid: session.uid });
  if (connection === undefined || session.path?.connection !== connection) return;
  const requestId = state.request({ type: 'extend', uid: session.uid, service: undefined }, now);
  const message = { type: 'extendGrant', requestId, sessionUid: session.uid, services: [] } as const;
  state.outbox.push({ type: 'send', connection, message });
}

/** True while the snapshot names the session's connector for a service of the grant. */
export function isListed(state: AgentState, session: AgentSession): boolean {
  return session.grant.services.some((service) => mayServe(state, session.connector, service));
}

/** After (re)connecting: every session gets a path through the new connection. */
export function attachAll(state: AgentState, now: number) {
  for (const session of state.sessions.values()) attach(state, session, now);
}

export function avoid(state: AgentState, connector: SpiffeId, now: number) {
  state.avoided.set(connector, now + state.config.avoidConnectorMs);
}

function judgeOffer(
  state: AgentState,
  offer: SessionOffer,
  service: Grant['services'][number],
  now: number,
): GrantCheck {
  const invalid = (reason: string): GrantCheck => ({ ok: false, code: 'grant-invalid', reason });
  if (offer.attach || state.sessions.has(offer.sessionUid)) return invalid('the session exists already');
  if (!mayServe(state, offer.peer, service))
    return invalid('the snapshot does not name this connector for the service');
  const checked = judgeGrant(state, offer.sessionUid, offer.peer, offer.grant, now);
  if (checked.ok && !checked.grant.services.includes(service))
    return invalid('the grant is not for the service');
  return checked;
}

function judgeGrant(
  state: AgentState,
  session: SessionUid,
  connector: SpiffeId,
  signed: SignedGrant,
  now: number,
): GrantCheck {
  const { deps, snapshot } = state;

  const expected = {
    tenant: deps.local.tenant,
    session,
    agent: deps.identity,
    connector,
    isIssuer: (id: SpiffeId) => isIssuer(snapshot, id),
  };
  const checked = checkGrant(signed, deps.verifyGrant, expected, now);
  if (checked.ok && checked.grant.subject !== snapshot?.content.subject)
    return { ok: false, code: 'grant-invalid', reason: 'other subject' };
  return checked;
}
