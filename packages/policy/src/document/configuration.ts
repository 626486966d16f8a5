import type { DirectPaths } from '@ztna/wire';
import { parseDuration } from '../duration.ts';
import type { ConfigurationInput, PolicyTestInput } from './schema.ts';

/** The document with every default filled in; what `compile` reads. Names are checked, not yet branded. */
export interface Configuration {
  readonly trustDomain: string;
  readonly tenant: string;
  readonly epoch: number;
  readonly revision: number;
  readonly validityMs: number;
  readonly intermediates: readonly { readonly name: string; readonly addresses: readonly string[] }[];
  readonly sites: readonly ConfiguredSite[];
  readonly services: readonly ConfiguredService[];
  readonly agents: readonly { readonly name: string; readonly subject: string }[];
  readonly groups: readonly ({ readonly name: string } & Members)[];
  readonly policies: readonly ConfiguredPolicy[];
  readonly revoked: readonly string[];
  readonly tests: readonly PolicyTestInput[];
}

export interface ConfiguredSite {
  readonly name: string;
  readonly connectors: readonly string[];
  readonly showPrivateAddresses: boolean;
}

export interface ConfiguredService {
  readonly name: string;
  readonly ports: readonly ConfiguredPort[];
  /** site/name */
  readonly connectors: readonly string[];
  readonly direct: DirectPaths;
}

export interface ConfiguredPort {
  readonly transport: 'tcp' | 'udp';
  readonly port: number;
  readonly backend: string;
  readonly allowLocal: boolean;
}

export interface Members {
  readonly agents: readonly string[];
  readonly subjects: readonly string[];
}

export interface ConfiguredPolicy {
  readonly name: string;
  readonly who: Members & { readonly groups: readonly string[] };
  readonly services: readonly string[];
  readonly direct: DirectPaths;
}

/** Fills in the defaults of a document that fits the schema. */
export function normalise(input: ConfigurationInput): Configuration {
  const validity = parseDuration(input.validity ?? '7d');
  return {
    trustDomain: input.trustDomain,
    tenant: input.tenant ?? 'default',
    epoch: input.epoch ?? 1,
    revision: input.revision,
    validityMs: validity.ok ? validity.value : 0,
    intermediates: input.intermediates ?? [],
    sites: (input.sites ?? []).map((site) => ({
      name: site.name,
      connectors: site.connectors ?? [],
      showPrivateAddresses: site.showPrivateAddresses ?? false,
    })),
    services: (input.services ?? []).map((service) => ({
      name: service.name,
      ports: (service.ports ?? []).map((port) => ({ ...port, allowLocal: port.allowLocal ?? false })),
      connectors: service.connectors ?? [],
      direct: service.direct ?? 'allow',
    })),
    agents: input.agents ?? [],
    groups: (input.groups ?? []).map((group) => ({ name: group.name, ...members(group) })),
    policies: (input.policies ?? []).map((policy) => ({
      name: policy.name,
      who: { ...members(policy.who), groups: policy.who.groups ?? [] },
      services: policy.services ?? [],
      direct: policy.direct ?? 'allow',
    })),
    revoked: input.revoked ?? [],
    tests: input.tests ?? [],
  };
}

function members(input: { agents?: string[]; subjects?: string[] }): Members {
  return { agents: input.agents ?? [], subjects: input.subjects ?? [] };
}
