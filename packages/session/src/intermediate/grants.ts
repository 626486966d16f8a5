import { mayOpenSession } from '@ztna/policy';
import type {
  Grant,
  KeyThumbprint,
  ServiceName,
  SessionUid,
  SignedGrant,
  SpiffeId,
  SubjectName,
} from '@ztna/wire';
import { isRevoked } from '../snapshot.ts';
import type { PeerIdentity } from '../types.ts';
import type { IntermediateState } from './state.ts';

interface Party {
  readonly agent: SpiffeId;
  readonly agentKey?: KeyThumbprint;
  readonly subject: SubjectName;
  readonly connector: SpiffeId;
}

/** The policy: agent and subject may reach the service, and the connector may serve it. */
export function permits(state: IntermediateState, who: Party, service: ServiceName): boolean {
  const { snapshot } = state;
  if (
    !snapshot ||
    isRevoked(snapshot, { id: who.agent, ...(who.agentKey && { keyThumbprint: who.agentKey }) })
  )
    return false;
  const decision = mayOpenSession(snapshot.content, who, service);
  return decision.allowed && decision.connectors.includes(who.connector);
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
    sessionUid: terms.session,
    agent: terms.agent.id,
    agentKey: terms.agent.keyThumbprint,
    connector: terms.connector,
    issuer: deps.id,
    subject: terms.subject,
    services: terms.services,
    policyRevision: snapshot.revision,
    notBeforeMs: Math.floor(now),
    notAfterMs: Math.floor(now) + config.grantValidityMs,
    requiredFeatures: [],
  };
  return { grant, signed: deps.signGrant(grant) };
}
