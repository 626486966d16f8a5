import {
  type AgentContent,
  type ComponentName,
  type ConnectorContent,
  formatSpiffeId,
  type HostPort,
  type IntermediateContent,
  type IntermediateEntry,
  type PolicyRule,
  type Principal,
  parseHostPort,
  type ServiceName,
  type SiteName,
  type SnapshotContent,
  type SpiffeId,
  type SubjectName,
  type TenantName,
  type TrustDomain,
} from '@ztna/wire';
import { strictest } from './direct.ts';
import type { Configuration, ConfiguredService, ConfiguredSite } from './document/configuration.ts';

/** What the document means for one component. */
export interface Compiled {
  readonly audience: SpiffeId;
  readonly content: SnapshotContent;
}

/**
 * What a document means for each agent, connector and intermediate that it names. Nobody learns more than the
 * part needs: an agent sees the services that it may reach, a connector its own and the rules for them.
 * Revoked components get nothing.
 */
export function compile(configuration: Configuration): Compiled[] {
  const ids = idsOf(configuration);
  const shared = {
    intermediates: configuration.intermediates.map(
      ({ name, addresses }): IntermediateEntry => ({
        name: name as ComponentName,
        id: ids.intermediate(name),
        addresses: addresses.map(hostPort),
      }),
    ),
    revoked: configuration.revoked as readonly SpiffeId[],
  };
  const rules = compileRules(configuration, ids.agent);
  const all: Compiled[] = [
    ...configuration.intermediates.map(({ name }) => ({
      audience: ids.intermediate(name),
      content: intermediateContent(),
    })),
    ...configuration.sites.flatMap((site) =>
      site.connectors.map((name) => ({
        audience: ids.connector(`${site.name}/${name}`),
        content: connectorContent(site, `${site.name}/${name}`),
      })),
    ),
    ...configuration.agents.map(({ name, subject }) => ({
      audience: ids.agent(name),
      content: agentContent(name, subject),
    })),
  ];
  return all.filter(({ audience }) => !configuration.revoked.includes(audience));

  function intermediateContent(): IntermediateContent {
    const services = configuration.services.map((service) => ({
      name: service.name as ServiceName,
      connectors: service.connectors.map(ids.connector),
    }));
    const blind = rules.map((rule) => ({ ...rule, direct: 'allow' as const }));
    return { role: 'intermediate', ...shared, services, rules: blind };
  }

  function connectorContent(site: ConfiguredSite, place: string): ConnectorContent {
    const own = configuration.services.filter((service) => service.connectors.includes(place));
    const services = own.map((service) => ({
      name: service.name as ServiceName,
      targets: service.ports.map((port) => ({ ...port, backend: hostPort(port.backend) })),
      direct: service.direct,
    }));
    const { showPrivateAddresses } = site;
    return { role: 'connector', ...shared, services, rules: narrowRules(rules, own), showPrivateAddresses };
  }

  function agentContent(name: string, subject: string): AgentContent {
    const id = ids.agent(name);
    const own = rules.filter((rule) => rule.principals.some(({ agent }) => agent === id));
    const reachable = new Set<string>(own.flatMap((rule) => rule.services));
    const services = configuration.services
      .filter((service) => reachable.has(service.name))
      .map((service) => ({
        name: service.name as ServiceName,
        ports: service.ports.map(({ transport, port }) => ({ transport, port })),
        connectors: service.connectors.map(ids.connector),
        direct: strictest([service.direct, ...directOf(own, service.name)]),
      }));
    return { role: 'agent', ...shared, services, subject: subject as SubjectName };
  }
}

/** The SPIFFE ids of a document's components by their names. */
export function idsOf({ trustDomain, tenant }: Pick<Configuration, 'trustDomain' | 'tenant'>) {
  const common = { trustDomain: trustDomain as TrustDomain, tenant: tenant as TenantName };
  const simple = (role: 'agent' | 'intermediate') => (name: string) =>
    formatSpiffeId({ ...common, role, name: name as ComponentName });
  return {
    agent: simple('agent'),
    intermediate: simple('intermediate'),
    /** From `site/name`. */
    connector(place: string): SpiffeId {
      const [site = '', name = ''] = place.split('/');
      return formatSpiffeId({
        ...common,
        role: 'connector',
        site: site as SiteName,
        name: name as ComponentName,
      });
    },
  };
}

/** Rules by agent and subject; a policy that reaches nobody or nothing leaves no rule. */
function compileRules(configuration: Configuration, agentId: (name: string) => SpiffeId): PolicyRule[] {
  const groups = new Map(configuration.groups.map((group) => [group.name, group]));
  return configuration.policies
    .map((policy): PolicyRule => {
      const members = [policy.who, ...policy.who.groups.flatMap((name) => groups.get(name) ?? [])];
      const agents = new Set(members.flatMap((member) => member.agents));
      const subjects = new Set(members.flatMap((member) => member.subjects));
      const principals = configuration.agents
        .filter(({ name, subject }) => agents.has(name) || subjects.has(subject))
        .map(({ name, subject }): Principal => ({ agent: agentId(name), subject: subject as SubjectName }));
      return {
        name: policy.name,
        principals,
        services: policy.services as readonly ServiceName[],
        direct: policy.direct,
      };
    })
    .filter((rule) => rule.principals.length > 0 && rule.services.length > 0);
}

function directOf(rules: readonly PolicyRule[], service: string) {
  return rules.filter((rule) => rule.services.some((name) => name === service)).map((rule) => rule.direct);
}

function narrowRules(rules: readonly PolicyRule[], own: readonly ConfiguredService[]): PolicyRule[] {
  const names = new Set<string>(own.map((service) => service.name));
  return rules
    .map((rule) => ({ ...rule, services: rule.services.filter((name) => names.has(name)) }))
    .filter((rule) => rule.services.length > 0);
}

/** An address of a checked document. */
function hostPort(text: string): HostPort {
  const parsed = parseHostPort(text);
  if (!parsed.ok) throw new TypeError(`not a checked configuration: ${parsed.error.detail}`);
  return parsed.value;
}
