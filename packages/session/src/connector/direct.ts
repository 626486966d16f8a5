import { directAtConnector, directOfSession } from '@ztna/policy';
import type { ServiceName, SessionUid } from '@ztna/wire';
import { reviewFlows } from './flows.ts';
import { permits } from './permits.ts';
import type { ConnectorSession, ConnectorState } from './state.ts';

/** Tells the shell what the own snapshot says of the session's paths, if that is news. */
export function tellPathPolicy(state: ConnectorState, session: ConnectorSession) {
  const { snapshot } = state;
  if (!session.up || !snapshot) return;
  const { showPrivateAddresses } = snapshot.content;
  const direct = directOfSession(
    session.grant.services,
    (service) => permits(state, session.grant, service),
    (service) => directAtConnector(snapshot.content, session.grant, service),
  );
  const { policy } = session;
  if (policy?.direct === direct && policy.showPrivateAddresses === showPrivateAddresses) return;
  session.policy = { direct, showPrivateAddresses };
  state.outbox.push({ type: 'path-policy', session: session.uid, direct, showPrivateAddresses });
}

/** A direct path came into use, or is no longer: flows that require one go on, or end. */
export function onDirect(state: ConnectorState, uid: SessionUid, inUse: boolean, now: number) {
  const session = state.sessions.get(uid);
  if (!session || session.direct === inUse) return;
  session.direct = inUse;
  reviewFlows(state, session, now);
}

/** False while the own snapshot wants a direct path for this service and the session uses none. */
export function hasPathFor(state: ConnectorState, session: ConnectorSession, service: ServiceName): boolean {
  if (session.direct || !state.snapshot) return session.direct;
  return directAtConnector(state.snapshot.content, session.grant, service) !== 'require';
}
