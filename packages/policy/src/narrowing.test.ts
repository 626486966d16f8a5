import type { ServiceName } from '@ztna/wire';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { compile, idsOf } from './compile.ts';
import type { Configuration } from './document/configuration.ts';
import { normalise } from './document/configuration.ts';
import type { ConfigurationInput } from './document/schema.ts';
import { mayBeServedBy, mayOpenFlow, mayOpenSession } from './evaluate.ts';

const AGENTS = ['a1', 'a2', 'a3'] as const;
const SUBJECTS = ['s1', 's2'] as const;
const SERVICES = ['web', 'db', 'dns'] as const;
const PLACES = ['x/c1', 'x/c2', 'y/c1'] as const;

const who = fc.record({
  agents: fc.subarray([...AGENTS]),
  subjects: fc.subarray([...SUBJECTS]),
  groups: fc.subarray(['g1', 'g2']),
});
const documents = fc.record({
  subjects: fc.tuple(...AGENTS.map(() => fc.constantFrom(...SUBJECTS))),
  groups: fc.tuple(who, who),
  policies: fc.array(fc.record({ who, services: fc.subarray([...SERVICES]) }), { maxLength: 4 }),
  connectors: fc.tuple(...SERVICES.map(() => fc.subarray([...PLACES]))),
  revoked: fc.subarray([...AGENTS], { maxLength: 1 }),
});
type Parts = typeof documents extends fc.Arbitrary<infer T> ? T : never;

it('removing anything that allows, or revoking anybody, never widens access', () => {
  fc.assert(
    fc.property(documents, fc.nat(), (parts, choice) => {
      const before = accessOf(documentOf(parts));
      const narrower = narrowings(parts);
      const after = accessOf(documentOf(narrower[choice % narrower.length] ?? parts));
      expect([...after].filter((entry) => !before.has(entry))).toEqual([]);
    }),
    { numRuns: 300 },
  );
});

it('without policies nobody reaches anything', () => {
  fc.assert(
    fc.property(documents, (parts) => {
      expect(accessOf(documentOf({ ...parts, policies: [] })).size).toBe(0);
    }),
  );
});

it('an empty document denies everything and is for nobody', () => {
  expect(compile(normalise({ trustDomain: 't.example', revision: 1 }))).toEqual([]);
});

it('the property can fail: some documents allow something', () => {
  const sizes = fc
    .sample(documents, { numRuns: 100, seed: 1 })
    .map((parts) => accessOf(documentOf(parts)).size);
  expect(Math.max(...sizes)).toBeGreaterThan(0);
});

/** Each way to take one thing away. */
function narrowings(parts: Parts): Parts[] {
  const without = <T>(list: readonly T[], at: number) => list.filter((_, i) => i !== at);
  return [
    ...parts.policies.map((_, i) => ({ ...parts, policies: without(parts.policies, i) })),
    ...parts.policies.flatMap((policy, i) =>
      [
        { ...policy, services: policy.services.slice(1) },
        { ...policy, who: { ...policy.who, agents: policy.who.agents.slice(1) } },
        { ...policy, who: { ...policy.who, subjects: policy.who.subjects.slice(1) } },
        { ...policy, who: { ...policy.who, groups: policy.who.groups.slice(1) } },
      ].map((less) => ({ ...parts, policies: parts.policies.map((p, j) => (j === i ? less : p)) })),
    ),
    ...AGENTS.map((agent) => ({ ...parts, revoked: [...parts.revoked, agent] })),
    { ...parts, groups: [{ agents: [], subjects: [], groups: [] }, parts.groups[1]] },
    { ...parts, connectors: parts.connectors.map((list) => list.slice(1)) as typeof parts.connectors },
  ];
}

function documentOf(parts: Parts): Configuration {
  const input: ConfigurationInput = {
    trustDomain: 't.example',
    revision: 1,
    intermediates: [{ name: 'i', addresses: ['i.t.example:4433'] }],
    sites: [
      { name: 'x', connectors: ['c1', 'c2'] },
      { name: 'y', connectors: ['c1'] },
    ],
    services: SERVICES.map((name, i) => ({
      name,
      ports: [{ transport: 'tcp' as const, port: 80, backend: '10.0.0.1:80' }],
      connectors: parts.connectors[i] ?? [],
    })),
    agents: AGENTS.map((name, i) => ({ name, subject: parts.subjects[i] ?? 's1' })),
    groups: parts.groups.map(({ agents, subjects }, i) => ({ name: `g${i + 1}`, agents, subjects })),
    policies: parts.policies.map((policy, i) => ({ name: `p${i}`, ...policy })),
    revoked: parts.revoked.map((name) => `spiffe://t.example/default/agent/${name}`),
  };
  return normalise(input);
}

/** Everything that any component would allow, decided by each on its own snapshot. */
function accessOf(configuration: Configuration): Set<string> {
  const access = new Set<string>();
  const all = compile(configuration);
  const ids = idsOf(configuration);
  const requesters = AGENTS.flatMap((name) =>
    SUBJECTS.map((subject) => ({ agent: ids.agent(name), subject })),
  );
  for (const { audience, content } of all) {
    for (const service of SERVICES as readonly string[] as readonly ServiceName[]) {
      if (content.role === 'agent') {
        for (const place of PLACES) {
          const allowed = mayBeServedBy(content, service, ids.connector(place)).allowed;
          if (allowed) access.add(`${audience} ${service} ${place}`);
        }
        continue;
      }
      for (const requester of requesters as Parameters<typeof mayOpenFlow>[1][]) {
        const decision =
          content.role === 'intermediate'
            ? mayOpenSession(content, requester, service)
            : mayOpenFlow(content, requester, service, 'tcp', 80);
        if (decision.allowed) access.add(`${audience} ${requester.agent} ${requester.subject} ${service}`);
      }
    }
  }
  return access;
}
