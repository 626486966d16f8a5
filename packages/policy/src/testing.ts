/** Documents and names for the tests of this package. */
import type { IntermediateContent, ServiceName, SpiffeId, SubjectName } from '@ztna/wire';
import { compile } from './compile.ts';
import type { Configuration } from './document/configuration.ts';
import { checkConfiguration } from './document/parse.ts';
import type { ConfigurationInput } from './document/schema.ts';

export const DOMAIN = 'corp.example';

/** Two sites, two services, two people; alice may use web, bob nothing. */
export function sampleInput(): ConfigurationInput {
  return {
    trustDomain: DOMAIN,
    revision: 7,
    intermediates: [
      { name: 'eu-1', addresses: ['eu-1.corp.example:4433'] },
      { name: 'eu-2', addresses: ['[2001:db8::2]:4433'] },
    ],
    sites: [
      { name: 'berlin', connectors: ['c1', 'c2'] },
      { name: 'paris', connectors: ['c1'] },
    ],
    services: [
      {
        name: 'web',
        ports: [
          { transport: 'tcp', port: 80, backend: '10.0.0.1:8080' },
          { transport: 'tcp', port: 443, backend: '10.0.0.1:8443' },
          { transport: 'udp', port: 443, backend: '10.0.0.1:8443' },
        ],
        connectors: ['berlin/c1', 'berlin/c2'],
      },
      {
        name: 'db',
        ports: [{ transport: 'tcp', port: 5432, backend: 'localhost:5432', allowLocal: true }],
        connectors: ['paris/c1'],
      },
    ],
    agents: [
      { name: 'laptop', subject: 'alice' },
      { name: 'phone', subject: 'alice' },
      { name: 'desk', subject: 'bob' },
    ],
    groups: [{ name: 'staff', subjects: ['alice'] }],
    policies: [{ name: 'staff-web', who: { groups: ['staff'] }, services: ['web'] }],
    tests: [
      { who: 'laptop', service: 'web', expect: 'allow' },
      { who: 'desk', service: 'web', expect: 'deny' },
      { who: 'laptop', service: 'db', expect: 'deny' },
    ],
  };
}

/** The document, checked. Throws when it is not valid. */
export function configure(input: ConfigurationInput): Configuration {
  const checked = checkConfiguration(input);
  if (!checked.ok) throw new Error(JSON.stringify(checked.error));
  return checked.value;
}

export const agent = (name: string) => `spiffe://${DOMAIN}/default/agent/${name}` as SpiffeId;
export const connector = (place: string) => `spiffe://${DOMAIN}/default/connector/${place}` as SpiffeId;
export const intermediate = (name: string) => `spiffe://${DOMAIN}/default/intermediate/${name}` as SpiffeId;
export const service = (name: string) => name as ServiceName;
export const who = (name: string, subject: string) => ({
  agent: agent(name),
  subject: subject as SubjectName,
});

/** What a document means for one component. */
export function contentOf<R extends 'agent' | 'connector' | 'intermediate'>(
  configuration: Configuration,
  role: R,
  audience: SpiffeId,
) {
  const found = compile(configuration).find((entry) => entry.audience === audience)?.content;
  if (found?.role !== role) throw new Error(`no content for ${audience}`);
  return found as Extract<typeof found, { role: R }>;
}

/** The content of some intermediate. */
export function anyIntermediate(configuration: Configuration): IntermediateContent {
  return contentOf(configuration, 'intermediate', intermediate('eu-1'));
}
