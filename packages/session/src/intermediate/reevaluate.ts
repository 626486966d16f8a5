import { wireError } from '@ztna/wire';
import { type IntermediateSnapshot, isRevoked } from '../snapshot.ts';
import { replaceGrant } from './extend.ts';
import { permits } from './grants.ts';
import { withdrawOffer } from './offers.ts';
import { closePeer } from './peers.ts';
import { closeSession } from './sessions.ts';
import type { IntermediateState, Session } from './state.ts';

/** A new snapshot is in force: what it no longer allows ends now, not when grants run out. */
export function onSnapshot(state: IntermediateState, snapshot: IntermediateSnapshot, now: number) {
  state.snapshot = snapshot;
  for (const session of [...state.sessions.values()]) {
    if (isSessionRevoked(snapshot, session)) {
      closeSession(state, session, wireError('revoked', 'an identity of this session was revoked'), now);
      continue;
    }
    const services = session.grant.services.filter((service) => permits(state, session.grant, service));
    if (services.length === session.grant.services.length) continue;
    if (services.length > 0) replaceGrant(state, session, services, 0, now);
    else
      closeSession(
        state,
        session,
        wireError('not-authorized', 'the policy no longer allows this session'),
        now,
      );
  }
  for (const offer of [...state.offers.values()]) {
    if (offer.grant.services.every((service) => permits(state, offer.grant, service))) continue;
    const error = wireError(
      'not-authorized',
      'the policy changed while the session was being set up',
      offer.requestId,
    );
    withdrawOffer(state, offer, error, now);
    if (offer.kind !== 'reattach') state.sendError(offer.agentPeer, error);
  }
  for (const peer of [...state.peers.values()]) {
    if (!isRevoked(snapshot, peer.identity)) continue;
    state.event('warn', 'peer.revoked', { id: peer.identity.id });
    closePeer(state, peer, wireError('revoked', 'this identity was revoked'), now);
  }
}

function isSessionRevoked(snapshot: IntermediateSnapshot, { agent, connector, grant }: Session): boolean {
  return (
    isRevoked(snapshot, { id: agent, keyThumbprint: grant.agentKey }) ||
    isRevoked(snapshot, { id: connector })
  );
}
