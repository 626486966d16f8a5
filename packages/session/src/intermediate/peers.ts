import { registrable } from '@ztna/policy';
import { type Hello, type ServiceName, type WireError, wireError } from '@ztna/wire';
import { HELLO_TIMEOUT_MS, makeHello, refuseHello } from '../hello.ts';
import { RelayIds } from '../relay-ids.ts';
import { isRevoked } from '../snapshot.ts';
import type { ConnectionKey, PeerIdentity } from '../types.ts';
import { resumeConnector } from './attach.ts';
import { awaitConnector, leaveAttachment, refuseOffer, withdrawOffer } from './offers.ts';
import { closeSession, detachAgent, detachConnector, forgetOffer } from './sessions.ts';
import { addTo, type IntermediateState, type Peer, removeFrom } from './state.ts';

export function onConnected(
  state: IntermediateState,
  key: ConnectionKey,
  identity: PeerIdentity,
  now: number,
) {
  const refusal = refusePeer(state, identity);
  if (refusal) {
    state.count('peer_refused', refusal.code);
    state.outbox.push({ type: 'close-peer', peer: key, error: refusal });
    return;
  }
  addTo(state.silent, identity.id, key);
  state.peers.set(key, {
    key,
    identity,
    relayIds: new RelayIds(),
    sessions: new Set(),
    offers: new Set(),
    hello: undefined,
    claimed: new Set(),
    capacity: 0,
  });
  state.timers.set(`hello:${key}`, now + HELLO_TIMEOUT_MS, { type: 'hello', peer: key });
}

export function onHello(state: IntermediateState, peer: Peer, hello: Hello, now: number) {
  const refusal = refuseHello(hello, state.deps.local, peer.identity.tenant);
  if (refusal) return closePeer(state, peer, refusal, now);
  state.timers.cancel(`hello:${peer.key}`);
  removeFrom(state.silent, peer.identity.id, peer.key);
  makeRoom(state, peer.identity, hello, now);
  peer.hello = hello;
  addTo(state.byIdentity, peer.identity.id, peer.key);
  const revision = state.snapshot?.revision ?? (0 as Parameters<typeof makeHello>[1]);
  state.send(peer.key, makeHello(state.deps.local, revision, now));
  state.event('info', 'peer.ready', { id: peer.identity.id, software: hello.software.slice(0, 64) });
}

/** Register: the answer names what the snapshot lets this connector serve. Replaces the Register before. */
export function onRegister(
  state: IntermediateState,
  peer: Peer,
  register: { readonly services: readonly ServiceName[]; readonly capacity: number },
  now: number,
) {
  if (register.services.length > state.config.maxServicesPerConnector) {
    return closePeer(
      state,
      peer,
      wireError('limit', `over ${state.config.maxServicesPerConnector} services`),
      now,
    );
  }
  const { id } = peer.identity;
  peer.claimed = new Set(register.services);
  peer.capacity = register.capacity;
  const { services, refused } = state.snapshot
    ? registrable(state.snapshot.content, id, register.services)
    : { services: [], refused: register.services };
  state.send(peer.key, { type: 'registered', services, refused });
  if (refused.length > 0)
    state.event('warn', 'connector.service-refused', { id, services: refused.slice(0, 8).join(' ') });
  resumeConnector(state, peer, now);
}

/** An orderly end: the sessions of this connection end with it. */
export function onGoodbye(state: IntermediateState, peer: Peer, now: number) {
  closePeer(state, peer, wireError('going-away', 'goodbye'), now, true);
}

/** Tells the peer why, and forgets it as if it were gone. */
export function closePeer(
  state: IntermediateState,
  peer: Peer,
  error: WireError,
  now: number,
  endSessions = false,
) {
  state.count('peer_closed', error.code);
  forgetPeer(state, peer, now, endSessions || error.code === 'revoked');
  state.outbox.push({ type: 'close-peer', peer: peer.key, error });
}

/** Forgets a connection. Its sessions wait for the other side's return, or end when `endSessions`. */
export function forgetPeer(state: IntermediateState, peer: Peer, now: number, endSessions: boolean) {
  state.peers.delete(peer.key);
  removeFrom(state.byIdentity, peer.identity.id, peer.key);
  removeFrom(state.silent, peer.identity.id, peer.key);
  state.timers.cancel(`hello:${peer.key}`);
  const isAgent = peer.identity.role === 'agent';
  for (const uid of [...peer.sessions]) {
    const session = state.sessions.get(uid);
    if (!session) continue;
    const gone = isAgent
      ? wireError('going-away', 'the agent ended')
      : wireError('no-connector', 'the connector ended; open a new session');
    if (endSessions) closeSession(state, session, gone, now, { agent: !isAgent, connector: isAgent });
    else if (isAgent) detachAgent(state, session, now);
    else detachConnector(state, session, now);
  }
  for (const uid of [...peer.offers]) {
    const offer = state.offers.get(uid);
    if (!offer) continue;
    if (!isAgent) moveOffer(state, uid, now);
    else if (offer.kind === 'open')
      withdrawOffer(state, offer, wireError('going-away', 'the agent is gone'), now);
    else leaveAttachment(state, offer, now);
  }
}

/** The connector that was to answer is gone. */
function moveOffer(state: IntermediateState, uid: Parameters<typeof forgetOffer>[1], now: number) {
  const offer = state.offers.get(uid);
  if (!offer) return;
  if (offer.kind === 'open')
    return refuseOffer(state, offer, wireError('no-connector', 'the connector is gone'), now);
  forgetOffer(state, uid, now);
  if (offer.kind === 'attach') awaitConnector(state, { ...offer, side: undefined }, now);
}

function refusePeer(state: IntermediateState, identity: PeerIdentity): WireError | undefined {
  if (identity.tenant !== state.deps.local.tenant)
    return wireError('wrong-tenant', 'this intermediate serves another tenant');
  if (identity.role !== 'agent' && identity.role !== 'connector') {
    return wireError('not-authorized', 'only agents and connectors connect here');
  }
  if (isRevoked(state.snapshot, identity)) return wireError('revoked', 'this identity was revoked');
  if (state.draining) return wireError('going-away', 'this intermediate is being drained; use another');
  if (state.peers.size >= state.config.maxPeers)
    return wireError('limit', 'this intermediate is full; use another');
  // Else one identity could fill it with connections that are never used.
  if ((state.silent.get(identity.id)?.size ?? 0) >= state.config.maxSilentPerIdentity)
    return wireError('limit', 'too many connections of this identity have not said Hello');
  return undefined;
}

/** The newest connection wins: a connector has one, an agent (several programs of one device) a few. */
function makeRoom(state: IntermediateState, identity: PeerIdentity, hello: Hello, now: number) {
  const keys = state.byIdentity.get(identity.id);
  const limit = identity.role === 'connector' ? 1 : state.config.maxConnectionsPerAgent;
  while (keys && keys.size >= limit) {
    const [oldest] = keys;
    const peer = oldest === undefined ? undefined : state.peers.get(oldest);
    if (!peer) return;
    const restarted = identity.role === 'connector' && peer.hello?.instance !== hello.instance;
    closePeer(
      state,
      peer,
      wireError('going-away', 'replaced by a newer connection of this identity'),
      now,
      restarted,
    );
  }
}
