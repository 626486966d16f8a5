import type { ServiceName, SessionUid, SpiffeId, SubjectName } from '@ztna/wire';
import type { Grant } from '../grant.ts';
import type { SignedGrant } from '../messages.ts';
import { isAllowed } from '../snapshot.ts';
import type { PeerIdentity } from '../types.ts';
import type { IntermediateState } from './state.ts';

/** True while something new may be opened under the snapshot in force. */
export function isFresh(state: IntermediateState, now: number): boolean {
  return state.snapshot !== undefined && now < state.snapshot.expiresAtMs;
}

export function isRevoked(state: IntermediateState, id: SpiffeId): boolean {
  return state.snapshot?.revoked.has(id) ?? false;
}

/** The policy: agent and subject may reach the service, and the connector may serve it. */
export function permits(
  state: IntermediateState,
  who: { readonly agent: SpiffeId; readonly subject: SubjectName; readonly connector: SpiffeId },
  service: ServiceName,
): boolean {
  const { snapshot } = state;
  if (!snapshot || snapshot.revoked.has(who.agent) || snapshot.revoked.has(who.connector)) return false;
  if (!snapshot.services.get(service)?.has(who.connector)) return false;
  return isAllowed(snapshot.rules, who.agent, who.subject, service);
}

export interface GrantTerms {
  readonly session: SessionUid;
  readonly agent: Pick<PeerIdentity, 'id' | 'keyThumbprint'>;
  readonly connector: SpiffeId;
  readonly subject: SubjectName;
  readonly services: readonly ServiceName[];
}

/** Makes and signs a grant that is valid from `now` for the configured time. */
export function issueGrant(
  state: IntermediateState,
  terms: GrantTerms,
  now: number,
): { grant: Grant; signed: SignedGrant } {
  const { deps, config, snapshot } = state;
  if (!snapshot) throw new Error('a grant without a snapshot');
  const grant: Grant = {
    tenant: deps.local.tenant,
    session: terms.session,
    agent: terms.agent.id,
    agentKeyThumbprint: terms.agent.keyThumbprint,
    connector: terms.connector,
    issuer: deps.id,
    subject: terms.subject,
    services: terms.services,
    policyRevision: snapshot.revision,
    notBeforeMs: now,
    notAfterMs: now + config.grantValidityMs,
  };
  return { grant, signed: deps.signGrant(grant) };
}
