import { type AttachPath, type SpiffeId, wireError } from '@ztna/wire';
import { checkGrant } from '../grant.ts';
import { isIssuer } from '../snapshot.ts';
import { issueGrant, permits } from './grants.ts';
import { awaitConnector, offerTo } from './offers.ts';
import { refuseNew } from './open.ts';
import { forgetOffer } from './sessions.ts';
import type { IntermediateState, Offer, Peer, Session } from './state.ts';

/**
 * AttachPath: the agent shows the grant of a session that this intermediate may never have heard of. Only
 * the grant's signature says that there is one; what it allows is judged anew by this side's own snapshot.
 */
export function onAttachPath(state: IntermediateState, agent: Peer, request: AttachPath, now: number) {
  const { requestId, sessionUid: uid } = request;
  const refusal = refuseNew(state, agent, now, uid);
  if (refusal) return state.sendError(agent.key, { ...refusal, requestId });
  const expected = {
    tenant: state.deps.local.tenant,
    session: uid,
    agent: agent.identity,
    isIssuer: (id: SpiffeId) => id === state.deps.id || isIssuer(state.snapshot, id),
  };
  const checked = checkGrant(request.grant, state.deps.verifyGrant, expected, now);
  if (!checked.ok)
    return state.sendError(
      agent.key,
      wireError(checked.code, `the grant is not accepted: ${checked.reason}`, requestId),
    );
  const { grant } = checked;
  const known = state.sessions.get(uid) ?? state.offers.get(uid)?.grant;
  if (known && known.agent !== agent.identity.id) {
    return state.sendError(
      agent.key,
      wireError('unknown-session', 'no such session of this agent', requestId),
    );
  }
  const services = grant.services.filter((service) => permits(state, grant, service));
  if (services.length === 0) {
    return state.sendError(
      agent.key,
      wireError('not-authorized', 'the policy no longer allows this session', requestId),
    );
  }
  forgetOffer(state, uid, now);
  const terms = {
    session: uid,
    agent: agent.identity,
    connector: grant.connector,
    subject: grant.subject,
    services,
  };
  const offer: Offer = {
    uid,
    kind: 'attach',
    agentPeer: agent.key,
    requestId,
    service: undefined,
    exclude: new Set(),
    connector: grant.connector,
    ...issueGrant(state, terms, now),
    side: undefined,
  };
  const connector = state.connectorPeer(grant.connector);
  if (connector) offerTo(state, offer, connector, now);
  else awaitConnector(state, offer, now);
}

/** A connector is here: offer it the sessions and attachments that wait for it. */
export function resumeConnector(state: IntermediateState, connector: Peer, now: number) {
  const { id } = connector.identity;
  for (const offer of [...state.offers.values()]) {
    if (offer.connector === id && !offer.side) offerTo(state, offer, connector, now);
  }
  for (const uid of [...(state.sessionsOf.get(id) ?? [])]) {
    const session = state.sessions.get(uid);
    if (session && !session.connectorSide && !state.offers.has(uid)) reattach(state, session, connector, now);
  }
}

function reattach(state: IntermediateState, session: Session, connector: Peer, now: number) {
  if (!session.agentSide) return;
  const { uid, grant, signed } = session;
  const offer: Offer = {
    uid,
    kind: 'reattach',
    agentPeer: session.agentSide.peer,
    requestId: 0,
    service: undefined,
    exclude: new Set(),
    connector: session.connector,
    grant,
    signed,
    side: undefined,
  };
  offerTo(state, offer, connector, now);
}
