import { type ExtendGrant, type ServiceName, wireError } from '@ztna/wire';
import { isFresh } from '../snapshot.ts';
import { issueGrant, permits } from './grants.ts';
import { serves } from './open.ts';
import { setExpiry } from './sessions.ts';
import type { IntermediateState, Peer, Session } from './state.ts';

/** ExtendGrant: a grant with new validity and, if asked, further services of the same connector. */
export function onExtendGrant(state: IntermediateState, agent: Peer, request: ExtendGrant, now: number) {
  const { requestId } = request;
  const refuse = (code: Parameters<typeof wireError>[0], message: string) =>
    state.sendError(agent.key, wireError(code, message, requestId));
  const session = state.sessions.get(request.sessionUid);
  if (!session || session.agentSide?.peer !== agent.key)
    return refuse('unknown-session', 'no such session here; attach it first');
  if (!isFresh(state.snapshot, now))
    return refuse('stale-snapshot', 'the intermediate has no valid snapshot; give it a newer one');
  const connector = session.connectorSide && state.peers.get(session.connectorSide.peer);
  if (!connector) return refuse('no-connector', 'the connector of this session is away; try again soon');
  const added = request.services.filter((service) => !session.grant.services.includes(service));
  for (const service of added) {
    if (!permits(state, session, service))
      return refuse('not-authorized', `no policy lets this session reach ${service}`);
    if (!serves(state, connector, service))
      return refuse('no-connector', `the connector of this session does not serve ${service} now`);
  }
  const services = [
    ...session.grant.services.filter((service) => permits(state, session, service)),
    ...new Set(added),
  ];
  if (services.length > state.config.maxServicesPerGrant)
    return refuse('limit', 'too many services for one session; open another');
  if (services.length === 0) return refuse('not-authorized', 'the policy no longer allows this session');
  replaceGrant(state, session, services, requestId, now);
}

/** Issues a new grant and tells both sides, the connector first: a flow must not overtake its permission. */
export function replaceGrant(
  state: IntermediateState,
  session: Session,
  services: readonly ServiceName[],
  requestId: number,
  now: number,
) {
  const { uid, grant, connector, subject } = session;
  const agent = { id: grant.agent, keyThumbprint: grant.agentKey };
  const issued = issueGrant(state, { session: uid, agent, connector, subject, services }, now);
  session.grant = issued.grant;
  session.signed = issued.signed;
  setExpiry(state, session);
  const update = { type: 'grantUpdate', sessionUid: uid, grant: issued.signed } as const;
  if (session.connectorSide) state.send(session.connectorSide.peer, { ...update, requestId: 0 });
  if (session.agentSide) state.send(session.agentSide.peer, { ...update, requestId });
  state.count('grant_issued', requestId === 0 ? 'narrowed' : 'extended');
}
