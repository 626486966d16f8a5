import { hash32 } from '@ztna/policy';
import type {
  ComponentName,
  KeyThumbprint,
  ServiceName,
  SpiffeId,
  SubjectName,
  TenantName,
} from '@ztna/wire';
import type { PeerIdentity } from '../../src/types.ts';

export const TENANT = 'default' as TenantName;

/** The identity of a simulated node; its key follows from its name. */
export function identityOf(role: 'agent' | 'connector' | 'intermediate', name: string): PeerIdentity {
  const place = role === 'connector' ? `site/${name}` : name;
  const id = `spiffe://example.org/default/${role}/${place}` as SpiffeId;
  return {
    id,
    role,
    tenant: TENANT,
    keyThumbprint: hash32(id).toString(16).padStart(64, '0') as KeyThumbprint,
  };
}

export const agentId = (name: string) => identityOf('agent', name).id;
export const connectorId = (name: string) => identityOf('connector', name).id;
export const intermediateId = (name: string) => identityOf('intermediate', name).id;
export const subjectOf = (agent: string) => `user-of-${agent}` as SubjectName;
export const service = (name: string) => name as ServiceName;
export const component = (name: string) => name as ComponentName;
/** `spiffe://…/agent/a0` → `a0` */
export const shortName = (id: SpiffeId) => id.slice(id.lastIndexOf('/') + 1);
