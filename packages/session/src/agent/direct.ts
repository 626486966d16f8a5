import { directAtAgent, directOfSession } from '@ztna/policy';
import { type ServiceName, type SessionUid, wireError } from '@ztna/wire';
import { mayServe, serveAll } from './flows.ts';
import type { AgentSession, AgentState } from './state.ts';

/** Tells the shell what the own snapshot says of the session's paths, if that is news. */
export function tellPathPolicy(state: AgentState, session: AgentSession) {
  if (!session.up || !state.snapshot) return;
  const { content } = state.snapshot;
  const direct = directOfSession(
    session.grant.services,
    (service) => mayServe(state, session.connector, service),
    (service) => directAtAgent(content, service),
  );
  cutFlows(state, session);
  if (direct === session.policy) return;
  session.policy = direct;
  // What an agent tells a connector about its own network is the user's business: it always shows its addresses.
  state.outbox.push({ type: 'path-policy', session: session.uid, direct, showPrivateAddresses: true });
}

/** A direct path came into use, or is no longer. */
export function onDirect(state: AgentState, uid: SessionUid, inUse: boolean, now: number) {
  const session = state.sessions.get(uid);
  if (!session) return;
  session.direct = inUse;
  cutFlows(state, session);
  serveAll(state, now);
}

/** Ends what requires a direct path and has none, before the other side does: it would go on over the relay. */
function cutFlows(state: AgentState, session: AgentSession) {
  if (session.direct || !state.snapshot) return;
  const { content } = state.snapshot;
  for (const [flow, service] of session.flows) {
    if (directAtAgent(content, service) !== 'require') continue;
    const message = `service ${service}: the policy requires a direct path and it was lost`;
    state.outbox.push({ type: 'cut-flow', flow, error: wireError('not-authorized', message) });
    state.count('flow', 'cut');
  }
}

/** False while the policy wants a direct path for this service and the session uses none. */
export function hasPathFor(state: AgentState, session: AgentSession, service: ServiceName): boolean {
  if (session.direct) return true;
  if (!session.path || !state.snapshot) return false;
  return directAtAgent(state.snapshot.content, service) !== 'require';
}
