import { type Static, Type } from 'typebox';

/**
 * The configuration document: everything that one revision says. JSON Schema and TypeScript type in one.
 * Every list defaults to empty, and an empty list allows nothing.
 */

const SEGMENT = '^(?!\\.{1,2}$)[A-Za-z0-9._-]{1,63}$';
const LABEL = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?';
const HOST_PORT = '^(?:\\[[0-9A-Fa-f:.]+\\]|[A-Za-z0-9._-]{1,253}):[0-9]{1,5}$';

const name = (description: string) => Type.String({ pattern: SEGMENT, description });
const list = <T extends Parameters<typeof Type.Array>[0]>(items: T, maxItems: number, description: string) =>
  Type.Optional(Type.Array(items, { maxItems, default: [], description }));
const closed = { additionalProperties: false } as const;

const serviceName = Type.String({
  pattern: `^${LABEL}(?:\\.${LABEL})*$`,
  maxLength: 128,
  description: 'Lower-case DNS name without suffix: web is reached as web.ztna.internal.',
});
const subject = Type.String({
  pattern: '^[!-~]{1,255}$',
  description: 'The user or workload behind an agent, e.g. alice@corp.example. No spaces.',
});
const direct = (of: string) =>
  Type.Optional(
    Type.Enum(['allow', 'deny', 'require'], {
      default: 'allow',
      description: `Whether sessions ${of} may use direct paths. deny: over relays only. require: flows run over a direct path only. The strictest that applies wins: deny, then require, then allow.`,
    }),
  );
const port = Type.Integer({ minimum: 1, maximum: 65535 });

const Intermediate = Type.Object(
  {
    name: name('Name in its SPIFFE id.'),
    addresses: Type.Array(Type.String({ pattern: HOST_PORT }), {
      minItems: 1,
      maxItems: 16,
      description: 'host:port, in order of preference; a name or an address, IPv6 in brackets.',
    }),
  },
  closed,
);

const Site = Type.Object(
  {
    name: name('Name in the SPIFFE ids of its connectors.'),
    connectors: list(name('Name of a connector.'), 256, 'Connectors that stand at this site.'),
    showPrivateAddresses: Type.Optional(
      Type.Boolean({
        default: false,
        description:
          'Lets its connectors show private addresses (RFC 1918, ULA) to agents, for direct paths inside one network.',
      }),
    ),
  },
  closed,
);

const ServicePort = Type.Object(
  {
    transport: Type.Enum(['tcp', 'udp']),
    port: Type.Integer({ minimum: 1, maximum: 65535, description: 'Port of the service as agents see it.' }),
    backend: Type.String({
      pattern: HOST_PORT,
      description: 'host:port that the connector dials; names are resolved at the connector.',
    }),
    allowLocal: Type.Optional(
      Type.Boolean({
        default: false,
        description: "Lets the backend be loopback, link-local or the connector's own listener.",
      }),
    ),
  },
  closed,
);

const Service = Type.Object(
  {
    name: serviceName,
    ports: list(ServicePort, 64, 'What the service listens on, and where.'),
    connectors: list(
      Type.String({ pattern: '^[A-Za-z0-9._-]{1,63}/[A-Za-z0-9._-]{1,63}$' }),
      256,
      'Who may serve it, as site/name. No connector, no service.',
    ),
    direct: direct('that carry it'),
  },
  closed,
);

const Agent = Type.Object({ name: name('Name in its SPIFFE id.'), subject }, closed);

const whoFields = {
  agents: list(name('Name of an agent.'), 65_536, 'Agents by name, whoever is behind them.'),
  subjects: list(subject, 65_536, 'Every agent of these subjects.'),
};

const Group = Type.Object({ name: name('Name of the group.'), ...whoFields }, closed);

const Policy = Type.Object(
  {
    name: name('Name of the rule; flow records and decisions show it.'),
    who: Type.Object({ ...whoFields, groups: list(name('Name of a group.'), 1000, 'Groups.') }, closed),
    services: list(serviceName, 10_000, 'What they may reach.'),
    direct: direct('under this policy'),
  },
  closed,
);

const PolicyTest = Type.Object(
  {
    who: name('Name of an agent.'),
    service: serviceName,
    transport: Type.Optional(Type.Enum(['tcp', 'udp'])),
    port: Type.Optional(port),
    expect: Type.Enum(['allow', 'deny']),
  },
  closed,
);

export const ConfigurationSchema = Type.Object(
  {
    $schema: Type.Optional(Type.String({ description: 'For editors.' })),
    trustDomain: Type.String({
      pattern: '^[a-z0-9](?:[a-z0-9._-]{0,253}[a-z0-9])?$',
      description: 'The trust domain of all SPIFFE ids, as given to `ztna pki init`.',
    }),
    tenant: Type.Optional(Type.String({ pattern: SEGMENT, default: 'default', description: 'Tenant.' })),
    epoch: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: Number.MAX_SAFE_INTEGER,
        default: 1,
        description: 'Rises only when the history of revisions begins anew.',
      }),
    ),
    revision: Type.Integer({
      minimum: 1,
      maximum: Number.MAX_SAFE_INTEGER,
      description: 'Rises with every publication; components refuse an older one.',
    }),
    validity: Type.Optional(
      Type.String({
        pattern: '^[0-9]{1,6}[smhd]$',
        default: '7d',
        description: 'How long snapshots hold after signing: a number and s, m, h or d.',
      }),
    ),
    intermediates: list(Intermediate, 1000, 'The public relays.'),
    sites: list(Site, 1000, 'Sites and the connectors at them.'),
    services: list(Service, 10_000, 'Protected resources.'),
    agents: list(Agent, 65_536, 'Devices and who is behind them.'),
    groups: list(Group, 1000, 'Named sets of agents and subjects.'),
    policies: list(Policy, 10_000, 'Who may reach what. What no policy allows is denied.'),
    revoked: list(
      Type.String({ pattern: '^spiffe://.{1,2000}$' }),
      65_536,
      'SPIFFE ids that are refused although certified.',
    ),
    tests: list(PolicyTest, 65_536, 'Must hold before anything is signed.'),
  },
  {
    ...closed,
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'ZTNA configuration document',
    description: 'Default deny: nothing is reachable until a policy says so.',
  },
);

/** The document as written, with its optional parts still absent. */
export type ConfigurationInput = Static<typeof ConfigurationSchema>;
export type PolicyTestInput = Static<typeof PolicyTest>;
