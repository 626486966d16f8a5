import { mayAcceptSession } from '@ztna/policy';
import type { Grant, ServiceName } from '@ztna/wire';
import { isRevoked } from '../snapshot.ts';
import type { ConnectorState } from './state.ts';

/** True when the own snapshot lets this agent under this subject reach a service that this connector has. */
export function permits(
  state: ConnectorState,
  who: Pick<Grant, 'agent' | 'agentKey' | 'subject'>,
  service: ServiceName,
): boolean {
  const { snapshot } = state;
  if (!snapshot) return false;
  if (isRevoked(snapshot, { id: who.agent, keyThumbprint: who.agentKey })) return false;
  return mayAcceptSession(snapshot.content, who, service).allowed;
}
