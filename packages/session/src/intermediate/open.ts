import { connectorsFor, mayOpenSession, subjectsOf } from '@ztna/policy';
import {
  type OpenSession,
  type ServiceName,
  type SessionUid,
  type SpiffeId,
  type SubjectName,
  type WireError,
  wireError,
} from '@ztna/wire';
import { type IntermediateSnapshot, isFresh } from '../snapshot.ts';
import type { ConnectionKey } from '../types.ts';
import { issueGrant, permits } from './grants.ts';
import { offerTo } from './offers.ts';
import { closeSession } from './sessions.ts';
import type { IntermediateState, Peer } from './state.ts';

/** OpenSession: policy, then a connector, then the offer; or an error that names the request. */
export function onOpenSession(state: IntermediateState, agent: Peer, request: OpenSession, now: number) {
  const refusal = refuseNew(state, agent, now);
  if (refusal) return state.sendError(agent.key, { ...refusal, requestId: request.requestId });
  tryNextConnector(
    state,
    {
      agentPeer: agent.key,
      requestId: request.requestId,
      service: request.service,
      exclude: new Set(request.excludeConnectors),
    },
    undefined,
    now,
  );
}

/** Why this agent may not open or attach a session now, whatever the service. Makes room where it can. */
export function refuseNew(
  state: IntermediateState,
  agent: Peer,
  now: number,
  attached?: SessionUid,
): WireError | undefined {
  const { config } = state;
  if (state.draining) return wireError('going-away', 'this intermediate is being drained; use another');
  if (!isFresh(state.snapshot, now)) {
    return wireError('stale-snapshot', 'the intermediate has no valid snapshot; give it a newer one');
  }
  let pending = 0;
  for (const key of state.byIdentity.get(agent.identity.id) ?? [])
    pending += state.peers.get(key)?.offers.size ?? 0;
  if (pending >= config.maxPendingPerAgent) {
    return wireError(
      'limit',
      `over ${config.maxPendingPerAgent} sessions of this agent are being opened; wait for them`,
    );
  }
  const mine = state.sessionsOf.get(agent.identity.id);
  if (!mine || (attached && mine.has(attached)) || mine.size + pending < config.maxSessionsPerAgent)
    return undefined;
  if (evictAbandoned(state, mine, now)) return undefined;
  return wireError('limit', `this agent has ${config.maxSessionsPerAgent} sessions; close some`);
}

interface OpenRequest {
  readonly agentPeer: ConnectionKey;
  readonly requestId: number;
  readonly service: ServiceName | undefined;
  readonly exclude: ReadonlySet<SpiffeId>;
}

/** Offers the session to the best connector not excluded; with none left, tells the agent the last error. */
export function tryNextConnector(
  state: IntermediateState,
  request: OpenRequest,
  last: WireError | undefined,
  now: number,
) {
  const { agentPeer, requestId, service, exclude } = request;
  const agent = state.peers.get(agentPeer);
  if (!agent || service === undefined || !state.snapshot) return;
  const subject = subjectFor(state.snapshot, agent.identity.id, service);
  if (subject === undefined) {
    const error = wireError(
      'not-authorized',
      `no policy lets this agent reach ${service}, or there is no such service`,
      requestId,
    );
    return state.sendError(agentPeer, error);
  }
  const connector = chooseConnector(state, service, exclude);
  const terms = { agent: agent.identity.id, subject };
  if (!connector || !permits(state, { ...terms, connector: connector.identity.id }, service)) {
    const none = wireError(
      'no-connector',
      `no connector that serves ${service} is connected; check its health and registration`,
    );
    return state.sendError(agentPeer, { ...(last ?? none), retryable: last?.retryable ?? true, requestId });
  }
  const uid = state.deps.randomSessionUid();
  const issued = issueGrant(
    state,
    { session: uid, agent: agent.identity, connector: connector.identity.id, subject, services: [service] },
    now,
  );
  const offer = {
    uid,
    kind: 'open',
    agentPeer,
    requestId,
    service,
    exclude,
    connector: connector.identity.id,
    ...issued,
    side: undefined,
  } as const;
  offerTo(state, offer, connector, now);
}

/** True when this connector is here, says it serves `service`, and the snapshot lets it. */
export function serves(state: IntermediateState, connector: Peer, service: ServiceName): boolean {
  const { id } = connector.identity;
  return (
    connector.claimed.has(service) &&
    state.snapshot !== undefined &&
    connectorsFor(state.snapshot.content, service).includes(id)
  );
}

/** The connector with the fewest sessions (and offers under way) among those that serve. */
function chooseConnector(
  state: IntermediateState,
  service: ServiceName,
  exclude: ReadonlySet<SpiffeId>,
): Peer | undefined {
  let best: Peer | undefined;
  const load = (peer: Peer) => peer.sessions.size + peer.offers.size;
  for (const id of state.snapshot ? connectorsFor(state.snapshot.content, service) : []) {
    if (exclude.has(id)) continue;
    const peer = state.connectorPeer(id);
    if (!peer || !serves(state, peer, service)) continue;
    if (peer.capacity > 0 && load(peer) >= peer.capacity) continue;
    if (!best || load(peer) < load(best)) best = peer;
  }
  return best;
}

/** Under which subject the policy lets this agent reach the service; undefined when it does not. */
function subjectFor(
  { content }: IntermediateSnapshot,
  agent: SpiffeId,
  service: ServiceName,
): SubjectName | undefined {
  return subjectsOf(content, agent).find((subject) => {
    const decision = mayOpenSession(content, { agent, subject }, service);
    return decision.allowed || decision.reason === 'no-connector';
  });
}

/** Ends the oldest session that the agent has left behind (no connection, not attached anew). */
function evictAbandoned(state: IntermediateState, mine: ReadonlySet<SessionUid>, now: number): boolean {
  for (const uid of mine) {
    const session = state.sessions.get(uid);
    if (!session || session.agentSide) continue;
    closeSession(state, session, wireError('limit', 'the agent opened newer sessions'), now);
    return true;
  }
  return false;
}
