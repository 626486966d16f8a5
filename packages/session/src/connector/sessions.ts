import {
  type CloseSession,
  type Grant,
  type GrantUpdate,
  type SessionOffer,
  type SessionUid,
  type SpiffeId,
  type WireError,
  wireError,
} from '@ztna/wire';
import { checkGrant, type GrantCheck } from '../grant.ts';
import type { OuterLink } from '../link.ts';
import { isFresh, isIssuer, isRevoked } from '../snapshot.ts';
import type { ConnectionKey, PeerIdentity } from '../types.ts';
import { tellPathPolicy } from './direct.ts';
import { endFlows, reviewFlows } from './flows.ts';
import type { ConnectorInput } from './io.ts';
import { permits } from './permits.ts';
import { type ConnectorSession, type ConnectorState, EXPIRED } from './state.ts';

/** SessionOffer: accepted only if this side's own snapshot allows it; the grant alone opens nothing. */
export function onOffer(state: ConnectorState, connection: ConnectionKey, offer: SessionOffer, now: number) {
  const refusal = offer.attach
    ? attach(state, connection, offer, now)
    : accept(state, connection, offer, now);
  state.count(offer.attach ? 'session_attached' : 'session_offered', refusal?.code ?? 'ok');
  if (refusal)
    state.event('info', 'offer.refused', {
      intermediate: state.linkOf(connection)?.intermediate,
      session: offer.sessionUid,
      agent: offer.peer,
      code: refusal.code,
    });
  const answer = { type: 'sessionAnswer', sessionUid: offer.sessionUid, relayId: offer.relayId } as const;
  state.outbox.push({ type: 'send', connection, message: refusal ? { ...answer, error: refusal } : answer });
}

/** The inner handshake: id and key must be those of the grant. */
export function onInnerConnected(
  state: ConnectorState,
  uid: SessionUid,
  identity: PeerIdentity,
  now: number,
) {
  const session = state.sessions.get(uid);
  if (!session) {
    const error = wireError('unknown-session', 'no inner connection is expected here');
    return state.outbox.push({ type: 'close-inner', session: uid, error });
  }
  if (session.up) return state.count('inner_refused', 'duplicate');
  const genuine =
    identity.id === session.agent &&
    identity.keyThumbprint === session.grant.agentKey &&
    identity.role === 'agent' &&
    identity.tenant === state.deps.local.tenant;
  if (!genuine) {
    state.event('warn', 'inner.wrong-identity', { expected: session.agent, got: identity.id });
    return endSession(
      state,
      session,
      wireError('not-authorized', 'the inner peer is not the agent of the grant'),
      now,
    );
  }
  if (isRevoked(state.snapshot, identity))
    return endSession(state, session, wireError('revoked', 'this identity was revoked'), now);
  const full = state.places.refuseUp(session);
  if (full) return endSession(state, session, full, now);
  state.places.leave(session);
  session.up = true;
  state.places.take(session);
  state.timers.cancel(`inner:${uid}`);
  // Before it is accepted: the peer says at once what it has, and somebody has to listen.
  tellPathPolicy(state, session);
  state.outbox.push({ type: 'accept-inner', session: uid });
  state.event('info', 'session.up', { session: uid, agent: session.agent });
}

export function onInnerLost(
  state: ConnectorState,
  { session: uid, reason, code }: Extract<ConnectorInput, { type: 'inner-lost' }>,
  now: number,
) {
  const session = state.sessions.get(uid);
  if (!session) return;
  tellEnd(state, session, reason, session.up ? code : undefined);
  const error = wireError('going-away', `the inner connection ended: ${reason}`);
  endSession(state, session, error, now, { innerGone: true });
}

/** GrantUpdate: more or fewer services, more time; flows that it no longer covers are cut. */
export function onGrantUpdate(
  state: ConnectorState,
  connection: ConnectionKey,
  update: GrantUpdate,
  now: number,
) {
  const session = state.sessions.get(update.sessionUid);
  if (session?.path?.connection !== connection)
    return state.count('message_ignored', 'grant-unknown-session');
  const checked = judge(state, update.sessionUid, update.grant, now);
  const same = checked.ok && isSameParty(session, checked.grant);
  if (!checked.ok || !same) return state.count('message_ignored', 'grant-invalid');
  setGrant(state, session, checked.grant, now);
}

/** CloseSession counts only from the intermediate that carries the session. */
export function onCloseSession(
  state: ConnectorState,
  connection: ConnectionKey,
  close: CloseSession,
  now: number,
) {
  const session = state.sessions.get(close.sessionUid);
  if (session?.path?.connection !== connection)
    return state.count('message_ignored', 'close-unknown-session');
  endSession(state, session, close.reason ?? wireError('going-away', 'closed by the agent'), now, {
    told: true,
  });
}

/** Ends a session: its flows, inner connection and path; tells the intermediate unless it said so. */
export function endSession(
  state: ConnectorState,
  session: ConnectorSession,
  error: WireError,
  now: number,
  how: { readonly innerGone?: boolean; readonly told?: boolean } = {},
) {
  const { uid, path } = session;
  if (session.up && !how.innerGone) tellEnd(state, session, error.message, error.code);
  if (state.sessions.delete(uid)) state.places.leave(session);
  for (const timer of ['inner', 'expiry']) state.timers.cancel(`${timer}:${uid}`);
  endFlows(state, session, error, now);
  state.outbox.push({ type: 'close-inner', session: uid, error });
  state.count('session_ended', error.code);
  if (how.told || !path || !state.isConnected(path.connection)) return;
  const message = { type: 'closeSession', sessionUid: uid, reason: error } as const;
  state.outbox.push({ type: 'send', connection: path.connection, message });
}

/** Once for each session: it ended by the word of a side, which is `code`, or was lost. */
function tellEnd(state: ConnectorState, session: ConnectorSession, reason: string, code?: WireError['code']) {
  const { uid, agent } = session;
  if (code === undefined) return state.event('info', 'session.lost', { session: uid, agent, reason });
  state.event('info', 'session.ended', { session: uid, agent, code, reason });
}

/** A new snapshot is in force: sessions and flows that it no longer allows end now. */
export function reviewSessions(state: ConnectorState, now: number) {
  for (const session of [...state.sessions.values()]) {
    if (isRevoked(state.snapshot, { id: session.agent, keyThumbprint: session.grant.agentKey })) {
      endSession(state, session, wireError('revoked', 'the agent was revoked'), now);
    } else if (!session.grant.services.some((service) => permits(state, session.grant, service))) {
      endSession(
        state,
        session,
        wireError('not-authorized', 'the policy no longer allows this session'),
        now,
      );
    } else {
      tellPathPolicy(state, session);
      reviewFlows(state, session, now);
    }
  }
}

export function onExpiry(state: ConnectorState, uid: SessionUid, now: number) {
  const session = state.sessions.get(uid);
  if (session) endSession(state, session, EXPIRED, now);
}

/** What an intermediate offered before, and no agent took up yet, ends with its new connection: that has a share of handshakes anew. */
export function endBegun(state: ConnectorState, link: OuterLink, now: number) {
  const error = wireError('going-away', 'the intermediate was connected anew before the agent came');
  for (const session of [...state.sessions.values()]) {
    if (!session.up && session.offeredBy === link.name) endSession(state, session, error, now);
  }
}

export function onInnerTimeout(state: ConnectorState, uid: SessionUid, now: number) {
  const session = state.sessions.get(uid);
  if (session)
    endSession(state, session, wireError('timeout', 'the agent did not open the inner connection'), now);
}

function accept(
  state: ConnectorState,
  connection: ConnectionKey,
  offer: SessionOffer,
  now: number,
): WireError | undefined {
  const { sessionUid: uid, relayId } = offer;
  if (state.stopped) return wireError('going-away', 'this connector is stopping');
  if (!isFresh(state.snapshot, now)) {
    return wireError('stale-snapshot', 'the connector has no valid snapshot; give it a newer one');
  }
  if (state.sessions.has(uid)) return wireError('protocol', 'the session exists already');
  const checked = judge(state, uid, offer.grant, now);
  if (!checked.ok) return wireError(checked.code, checked.reason);
  const { grant } = checked;
  if (grant.agent !== offer.peer) return wireError('grant-invalid', 'the grant is of another agent');
  const offeredBy = state.linkOf(connection)?.name ?? '';
  const full = state.places.refuse({ agent: grant.agent, offeredBy, up: false });
  if (full) return full;
  if (!grant.services.some((service) => permits(state, grant, service))) {
    return wireError('not-authorized', 'the snapshot of the connector does not allow this');
  }
  const session: ConnectorSession = {
    uid,
    agent: grant.agent,
    offeredBy,
    grant,
    up: false,
    path: { connection, relayId },
    direct: false,
    policy: undefined,
    flows: new Set(),
  };
  state.sessions.set(uid, session);
  state.places.take(session);
  setGrant(state, session, grant, now);
  state.timers.set(`inner:${uid}`, now + state.config.innerTimeoutMs, { type: 'inner', uid });
  state.outbox.push({ type: 'add-path', session: uid, connection, relayId });
  return undefined;
}

function attach(
  state: ConnectorState,
  connection: ConnectionKey,
  offer: SessionOffer,
  now: number,
): WireError | undefined {
  const session = state.sessions.get(offer.sessionUid);
  if (!session) return wireError('unknown-session', 'the connector has no such session; open a new one');
  const checked = judge(state, session.uid, offer.grant, now);
  if (!checked.ok) return wireError(checked.code, checked.reason);
  if (!isSameParty(session, checked.grant) || offer.peer !== session.agent) {
    return wireError('unknown-session', 'the connector has no such session of this agent');
  }
  session.path = { connection, relayId: offer.relayId };
  state.outbox.push({ type: 'rebind-path', session: session.uid, connection, relayId: offer.relayId });
  setGrant(state, session, checked.grant, now);
  return undefined;
}

function setGrant(state: ConnectorState, session: ConnectorSession, granted: Grant, now: number) {
  // Without a valid snapshot of our own nobody's word may add anything to what is open.
  const grant = isFresh(state.snapshot, now) ? granted : narrower(session.grant, granted);
  session.grant = grant;
  state.timers.set(`expiry:${session.uid}`, grant.notAfterMs, { type: 'expiry', uid: session.uid });
  tellPathPolicy(state, session);
  reviewFlows(state, session, now);
}

function narrower(before: Grant, after: Grant): Grant {
  const services = after.services.filter((service) => before.services.includes(service));
  return { ...after, services, notAfterMs: Math.min(before.notAfterMs, after.notAfterMs) };
}

/** A session never changes its agent, key or subject. */
function isSameParty(session: ConnectorSession, grant: Grant): boolean {
  return (
    grant.agent === session.agent &&
    grant.agentKey === session.grant.agentKey &&
    grant.subject === session.grant.subject
  );
}

function judge(
  state: ConnectorState,
  session: SessionUid,
  signed: SessionOffer['grant'],
  now: number,
): GrantCheck {
  const { deps, snapshot } = state;

  const expected = {
    tenant: deps.local.tenant,
    session,
    connector: deps.identity.id,
    isIssuer: (id: SpiffeId) => isIssuer(snapshot, id),
  };
  return checkGrant(signed, deps.verifyGrant, expected, now);
}
