import { parseHostPort, parseSpiffeId } from '@ztna/wire';
import type { Configuration, Members } from './configuration.ts';
import type { Issue, IssuePath } from './parse.ts';

/**
 * What the schema cannot say: names that appear twice, references to what is not there. A misspelt name in a
 * policy would silently deny, in a revocation silently allow, so both are refused.
 */
export function checkReferences(c: Configuration): Issue[] {
  const issues: Issue[] = [];
  const report = (path: IssuePath, message: string) => issues.push({ path, message });
  const names = {
    intermediates: unique('intermediates', c.intermediates),
    sites: unique('sites', c.sites),
    services: unique('services', c.services),
    agents: unique('agents', c.agents),
    groups: unique('groups', c.groups),
    policies: unique('policies', c.policies),
  };
  const subjects = new Set(c.agents.map((agent) => agent.subject));
  const connectors = new Set(
    c.sites.flatMap((site) => site.connectors.map((name) => `${site.name}/${name}`)),
  );

  if (c.validityMs === 0) report(['validity'], 'must be longer than nothing');
  for (const [i, intermediate] of c.intermediates.entries()) {
    checkAddresses(['intermediates', i, 'addresses'], intermediate.addresses);
  }
  for (const [i, site] of c.sites.entries()) checkRepeats(['sites', i, 'connectors'], site.connectors);
  for (const [i, service] of c.services.entries()) {
    const path = ['services', i];
    known([...path, 'connectors'], service.connectors, connectors, 'connector of any site');
    checkRepeats(
      [...path, 'ports'],
      service.ports.map((port) => `${port.transport} ${port.port}`),
    );
    for (const [j, port] of service.ports.entries()) {
      checkAddress([...path, 'ports', j, 'backend'], port.backend);
    }
  }
  for (const [i, group] of c.groups.entries()) checkMembers(['groups', i], group);
  for (const [i, policy] of c.policies.entries()) {
    checkMembers(['policies', i, 'who'], policy.who);
    known(['policies', i, 'who', 'groups'], policy.who.groups, names.groups, 'group');
    known(['policies', i, 'services'], policy.services, names.services, 'service');
  }
  for (const [i, entry] of c.revoked.entries()) {
    const id = parseSpiffeId(entry);
    if (!id.ok) report(['revoked', i], `not a SPIFFE id of this system: ${id.error.detail}`);
    else if (!entry.startsWith(`spiffe://${c.trustDomain}/${c.tenant}/`)) {
      report(['revoked', i], `not of trust domain ${c.trustDomain} and tenant ${c.tenant}`);
    }
  }
  for (const [i, test] of c.tests.entries()) {
    known(['tests', i, 'who'], [test.who], names.agents, 'agent', false);
    known(['tests', i, 'service'], [test.service], names.services, 'service', false);
    if ((test.port === undefined) !== (test.transport === undefined)) {
      report(['tests', i], 'transport and port are given together or not at all');
    }
  }
  return issues;

  function unique(field: string, items: readonly { readonly name: string }[]): Set<string> {
    checkRepeats(
      [field],
      items.map((item) => item.name),
      'name',
    );
    return new Set(items.map((item) => item.name));
  }

  function checkRepeats(path: IssuePath, values: readonly string[], field?: string): void {
    const seen = new Set<string>();
    for (const [i, value] of values.entries()) {
      if (seen.has(value)) report([...path, i, ...(field ? [field] : [])], `${value} appears twice`);
      seen.add(value);
    }
  }

  function known(
    path: IssuePath,
    values: readonly string[],
    of: Set<string>,
    kind: string,
    list = true,
  ): void {
    for (const [i, value] of values.entries()) {
      if (!of.has(value)) report(list ? [...path, i] : path, `${value} is no ${kind} of this document`);
    }
  }

  function checkMembers(path: IssuePath, who: Members): void {
    known([...path, 'agents'], who.agents, names.agents, 'agent');
    known([...path, 'subjects'], who.subjects, subjects, 'subject of any agent');
  }

  function checkAddresses(path: IssuePath, addresses: readonly string[]): void {
    for (const [i, address] of addresses.entries()) checkAddress([...path, i], address);
  }

  function checkAddress(path: IssuePath, address: string): void {
    const parsed = parseHostPort(address);
    if (!parsed.ok) report(path, parsed.error.detail);
  }
}
