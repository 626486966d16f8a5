import { directAtAgent, directOfSession } from '@ztna/policy';
import type { ServiceName, SessionUid } from '@ztna/wire';
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
  serveAll(state, now);
}

/** False while the policy wants a direct path for this service and the session uses none. */
export function hasPathFor(state: AgentState, session: AgentSession, service: ServiceName): boolean {
  if (session.direct) return true;
  if (!session.path || !state.snapshot) return false;
  return directAtAgent(state.snapshot.content, service) !== 'require';
}
