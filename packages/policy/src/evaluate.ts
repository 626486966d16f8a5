import type {
  AgentContent,
  AgentService,
  ConnectorContent,
  IntermediateContent,
  PolicyRule,
  ServiceName,
  SpiffeId,
  SubjectName,
  Target,
  TransportProtocol,
} from '@ztna/wire';
import { isRevoked } from './revocation.ts';

/** Why something is denied. Stable; counted and logged by this name. */
export type DenyReason =
  | 'no-rule'
  | 'unknown-service'
  | 'unknown-port'
  | 'no-connector'
  | 'not-served-by-connector'
  | 'revoked';

export interface Deny {
  readonly allowed: false;
  readonly reason: DenyReason;
}

/** A decision and, if it allows, the name of the rule by which, and what else the caller needs. */
export type Decision<T = unknown> = ({ readonly allowed: true; readonly rule: string } & T) | Deny;

/** Who asks: the verified identity and the subject behind it. */
export interface Requester {
  readonly agent: SpiffeId;
  readonly subject: SubjectName;
}

/** At an intermediate: may this agent have a session for the service? Names the connectors that may serve it. */
export function mayOpenSession(
  content: IntermediateContent,
  who: Requester,
  service: ServiceName,
): Decision<{ readonly connectors: readonly SpiffeId[] }> {
  if (isRevoked(content.revoked, { id: who.agent })) return deny('revoked');
  const rule = ruleFor(content.rules, who, service);
  if (rule === undefined) return deny('no-rule');
  const connectors = connectorsFor(content, service);
  return connectors.length === 0 ? deny('no-connector') : { allowed: true, rule: rule.name, connectors };
}

/**
 * At a connector: may this agent open a flow, and where does it go? `port` 0 means the service's only port for
 * the transport (flow.proto).
 */
export function mayOpenFlow(
  content: ConnectorContent,
  who: Requester,
  service: ServiceName,
  transport: TransportProtocol,
  port: number,
): Decision<{ readonly target: Target }> {
  if (isRevoked(content.revoked, { id: who.agent })) return deny('revoked');
  const rule = ruleFor(content.rules, who, service);
  if (rule === undefined) return deny('no-rule');
  const served = content.services.find((candidate) => candidate.name === service);
  if (served === undefined) return deny('unknown-service');
  const targets = served.targets.filter(
    (target) => target.transport === transport && (port === 0 || target.port === port),
  );
  const [target] = targets;
  if (target === undefined || targets.length > 1) return deny('unknown-port');
  return { allowed: true, rule: rule.name, target };
}

/** At a connector: may a session with a grant for this service be accepted at all? */
export function mayAcceptSession(content: ConnectorContent, who: Requester, service: ServiceName): Decision {
  if (isRevoked(content.revoked, { id: who.agent })) return deny('revoked');
  const rule = ruleFor(content.rules, who, service);
  if (rule === undefined) return deny('no-rule');
  return mayServe(content, service) ? { allowed: true, rule: rule.name } : deny('unknown-service');
}

/** At a connector: does its snapshot let it serve this? */
export function mayServe(content: ConnectorContent, service: ServiceName): boolean {
  return content.services.some((candidate) => candidate.name === service);
}

/** At an intermediate: the connectors that may serve a service, without revoked ones. */
export function connectorsFor(content: IntermediateContent, service: ServiceName): readonly SpiffeId[] {
  const found = content.services.find((candidate) => candidate.name === service);
  return (found?.connectors ?? []).filter((id) => !isRevoked(content.revoked, { id }));
}

/** At an intermediate: which of the services that a connector registers may it serve? */
export function registrable(
  content: IntermediateContent,
  connector: SpiffeId,
  services: readonly ServiceName[],
): { readonly services: readonly ServiceName[]; readonly refused: readonly ServiceName[] } {
  const may = (service: ServiceName) => connectorsFor(content, service).includes(connector);
  return { services: services.filter(may), refused: services.filter((service) => !may(service)) };
}

/** At an intermediate: the subjects that any rule ties to this agent. An agent in no rule has none. */
export function subjectsOf(content: IntermediateContent, agent: SpiffeId): readonly SubjectName[] {
  const principals = content.rules.flatMap((rule) => rule.principals);
  return [...new Set(principals.filter((p) => p.agent === agent).map((p) => p.subject))];
}

/**
 * At an agent: is this connector one that may serve the service? The inner handshake must pass it, or a hostile
 * relay with some other enrolled connector could impersonate the service (design §6).
 */
export function mayBeServedBy(
  content: AgentContent,
  service: ServiceName,
  connector: SpiffeId,
): Decision<{ readonly service: AgentService }> {
  if (isRevoked(content.revoked, { id: connector })) return deny('revoked');
  const found = content.services.find((candidate) => candidate.name === service);
  if (found === undefined) return deny('unknown-service');
  if (!found.connectors.includes(connector)) return deny('not-served-by-connector');
  return { allowed: true, rule: 'snapshot', service: found };
}

/** The rules by which somebody may reach a service. Any one is enough to reach it; conditions of all apply. */
export function rulesFor(
  rules: readonly PolicyRule[],
  who: Requester,
  service: ServiceName,
): readonly PolicyRule[] {
  return rules.filter(
    (rule) =>
      rule.services.includes(service) &&
      rule.principals.some(({ agent, subject }) => agent === who.agent && subject === who.subject),
  );
}

function ruleFor(rules: readonly PolicyRule[], who: Requester, service: ServiceName): PolicyRule | undefined {
  return rulesFor(rules, who, service)[0];
}

function deny(reason: DenyReason): Deny {
  return { allowed: false, reason };
}
