import type { KeyThumbprint, Revision, ServiceName, SpiffeId, SubjectName, TenantName } from '@ztna/wire';

/** What the cores need of a verified snapshot; times in ms since the Unix epoch. */
interface SnapshotBase {
  readonly tenant: TenantName;
  readonly revision: Revision;
  /** From then on nothing new is opened; what is open lives until its grant ends. */
  readonly expiresAtMs: number;
  readonly intermediates: readonly IntermediateRef[];
  /** SPIFFE ids, and `key:<hex>` for thumbprints of keys. */
  readonly revoked: ReadonlySet<string>;
}

export interface IntermediateRef {
  readonly name: string;
  readonly id: SpiffeId;
  /** host:port */
  readonly addresses: readonly string[];
}

/** Pairs of agent and subject that may reach the services. Nothing else is allowed. */
export interface Rule {
  readonly principals: readonly { readonly agent: SpiffeId; readonly subject: SubjectName }[];
  readonly services: readonly ServiceName[];
}

export interface IntermediateSnapshot extends SnapshotBase {
  /** Which connectors may serve a service. */
  readonly services: ReadonlyMap<ServiceName, ReadonlySet<SpiffeId>>;
  readonly rules: readonly Rule[];
}

export interface AgentSnapshot extends SnapshotBase {
  readonly subject: SubjectName;
  /** Services that this agent may reach, and the connectors that may serve each. */
  readonly services: ReadonlyMap<ServiceName, ReadonlySet<SpiffeId>>;
}

export interface ConnectorSnapshot extends SnapshotBase {
  readonly services: ReadonlyMap<ServiceName, readonly Target[]>;
  readonly rules: readonly Rule[];
}

export interface Target {
  readonly transport: Transport;
  readonly port: number;
  /** host:port that the connector dials. */
  readonly backend: string;
  readonly allowLocal: boolean;
}

export type Transport = 'tcp' | 'udp';

/** The subject under which `rules` let `agent` reach `service`; undefined means denied. */
export function allowedSubject(
  rules: readonly Rule[],
  agent: SpiffeId,
  service: ServiceName,
): SubjectName | undefined {
  for (const rule of rules) {
    if (!rule.services.includes(service)) continue;
    const principal = rule.principals.find((candidate) => candidate.agent === agent);
    if (principal) return principal.subject;
  }
  return undefined;
}

/** True when `rules` let this very pair of agent and subject reach `service`. */
export function isAllowed(
  rules: readonly Rule[],
  agent: SpiffeId,
  subject: SubjectName,
  service: ServiceName,
): boolean {
  return rules.some(
    (rule) =>
      rule.services.includes(service) &&
      rule.principals.some((candidate) => candidate.agent === agent && candidate.subject === subject),
  );
}

/** True when the snapshot revokes the identity by its id or by its key. */
export function isRevoked(
  snapshot: Pick<SnapshotBase, 'revoked'> | undefined,
  identity: { readonly id: SpiffeId; readonly keyThumbprint?: KeyThumbprint },
): boolean {
  if (!snapshot) return false;
  return snapshot.revoked.has(identity.id) || snapshot.revoked.has(`key:${identity.keyThumbprint}`);
}
