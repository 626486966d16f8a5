import { Fields, memberId } from './fields.ts';
import type * as proto from './gen/ztna/v2/snapshot_pb.ts';
import { DirectPaths, Transport } from './gen/ztna/v2/snapshot_pb.ts';
import { parseHostPort } from './host-port.ts';
import {
  parseComponentName,
  parseServiceName,
  parseSubjectName,
  parseTenantName,
  parseTrustDomain,
  type Revision,
  type TenantName,
  type TrustDomain,
} from './ids.ts';
import { LIMITS } from './registry.ts';
import { fail, ok, type Result } from './result.ts';
import type * as snapshot from './snapshot.ts';

const LIST = LIMITS.snapshotList;

interface Scope {
  readonly trustDomain: TrustDomain;
  readonly tenant: TenantName;
}

/** Validates every field of a snapshot; the first that fails is named by its path. */
export function readSnapshot(message: proto.Snapshot, known: ReadonlySet<string>): Result<snapshot.Snapshot> {
  const fields = new Fields('snapshot');
  const scope: Scope = {
    trustDomain: fields.id('trust_domain', message.trustDomain, parseTrustDomain),
    tenant: fields.id('tenant', message.tenant, parseTenantName),
  };
  const requiredFeatures = fields.features('required_features', message.requiredFeatures, known);
  const role = message.content.case;
  if (role === undefined) fields.refuse('missing', 'content', 'is absent');
  if (fields.failed || role === undefined) return fields.finish(undefined as never);
  if (message.expiresAtMs <= message.issuedAtMs) {
    fields.refuse('invalid', 'expires_at_ms', 'is not after issued_at_ms');
  }
  return fields.finish({
    ...scope,
    audience: fields.id('audience', message.audience, memberId(scope, role)),
    epoch: fields.uint('epoch', message.epoch),
    revision: fields.range(
      'revision',
      fields.uint('revision', message.revision),
      1,
      Number.MAX_SAFE_INTEGER,
    ) as Revision,
    issuedAtMs: fields.uint('issued_at_ms', message.issuedAtMs),
    expiresAtMs: fields.uint('expires_at_ms', message.expiresAtMs),
    requiredFeatures,
    content: fields.use(role, readContent(message.content, scope)),
  });
}

function readContent(content: proto.Snapshot['content'], scope: Scope): Result<snapshot.SnapshotContent> {
  switch (content.case) {
    case 'agent':
      return readAgent(content.value, scope);
    case 'connector':
      return readConnector(content.value, scope);
    case 'intermediate':
      return readIntermediate(content.value, scope);
    case undefined:
      return fail('missing', 'content', 'is absent');
    default:
      return content satisfies never;
  }
}

function readAgent(content: proto.AgentContent, scope: Scope): Result<snapshot.AgentContent> {
  const fields = new Fields('content');
  return fields.finish({
    role: 'agent',
    ...shared(content, scope, fields),
    services: fields.unique('services', content.services, LIST, readService, nameOf),
    subject: fields.id('subject', content.subject, parseSubjectName),
  });

  function readService(service: proto.AgentService): Result<snapshot.AgentService> {
    const inner = new Fields('service');
    return inner.finish({
      name: inner.id('name', service.name, parseServiceName),
      ports: inner.unique('ports', service.ports, LIST, readPort, portKey),
      connectors: inner.list('connectors', service.connectors, LIST, memberId(scope, 'connector')),
      direct: readDirect(service.direct),
    });
  }
}

function readConnector(content: proto.ConnectorContent, scope: Scope): Result<snapshot.ConnectorContent> {
  const fields = new Fields('content');
  return fields.finish({
    role: 'connector',
    ...shared(content, scope, fields),
    services: fields.unique('services', content.services, LIST, readService, nameOf),
    rules: fields.unique('rules', content.rules, LIST, (rule) => readRule(rule, scope), nameOf),
    showPrivateAddresses: content.showPrivateAddresses,
  });

  function readService(service: proto.ConnectorService): Result<snapshot.ConnectorService> {
    const inner = new Fields('service');
    return inner.finish({
      name: inner.id('name', service.name, parseServiceName),
      targets: inner.unique('targets', service.targets, LIST, readTarget, portKey),
      direct: readDirect(service.direct),
    });
  }
}

function readIntermediate(
  content: proto.IntermediateContent,
  scope: Scope,
): Result<snapshot.IntermediateContent> {
  const fields = new Fields('content');
  return fields.finish({
    role: 'intermediate',
    ...shared(content, scope, fields),
    services: fields.unique('services', content.services, LIST, readService, nameOf),
    rules: fields.unique('rules', content.rules, LIST, (rule) => readRule(rule, scope), nameOf),
  });

  function readService(service: proto.IntermediateService): Result<snapshot.IntermediateService> {
    const inner = new Fields('service');
    return inner.finish({
      name: inner.id('name', service.name, parseServiceName),
      connectors: inner.list('connectors', service.connectors, LIST, memberId(scope, 'connector')),
    });
  }
}

function shared(
  content: { readonly intermediates: proto.IntermediateEntry[]; readonly revoked: string[] },
  scope: Scope,
  fields: Fields,
) {
  return {
    intermediates: fields.unique('intermediates', content.intermediates, LIST, readEntry, nameOf),
    revoked: fields.list('revoked', content.revoked, LIST, memberId(scope)),
  };

  function readEntry(entry: proto.IntermediateEntry): Result<snapshot.IntermediateEntry> {
    const inner = new Fields('intermediate');
    if (entry.addresses.length === 0) inner.refuse('missing', 'addresses', 'is empty');
    return inner.finish({
      name: inner.id('name', entry.name, parseComponentName),
      id: inner.id('id', entry.id, memberId(scope, 'intermediate')),
      addresses: inner.list('addresses', entry.addresses, LIMITS.alternatives, parseHostPort),
    });
  }
}

function readRule(rule: proto.PolicyRule, scope: Scope): Result<snapshot.PolicyRule> {
  const fields = new Fields('rule');
  return fields.finish({
    name: fields.id('name', fields.text('name', rule.name, 255), ok),
    principals: fields.list('principals', rule.principals, LIST, ({ agent, subject }) => {
      const inner = new Fields('principal');
      return inner.finish({
        agent: inner.id('agent', agent, memberId(scope, 'agent')),
        subject: inner.id('subject', subject, parseSubjectName),
      });
    }),
    services: fields.list('services', rule.services, LIST, parseServiceName),
    direct: readDirect(rule.direct),
  });
}

function readPort({ transport, port }: proto.ServicePort): Result<snapshot.ServicePort> {
  const fields = new Fields('port');
  return fields.finish({
    transport: readTransport(transport, fields),
    port: fields.range('port', port, 1, 0xffff),
  });
}

function readTarget(target: proto.Target): Result<snapshot.Target> {
  const fields = new Fields('target');
  return fields.finish({
    transport: readTransport(target.transport, fields),
    port: fields.range('port', target.port, 1, 0xffff),
    backend: fields.id('backend', target.backend, parseHostPort),
    allowLocal: target.allowLocal,
  });
}

/** Values without a name were refused by the decoder; whatever else is not understood is the strictest. */
function readDirect(direct: DirectPaths): snapshot.DirectPaths {
  switch (direct) {
    case DirectPaths.UNSPECIFIED:
      return 'allow';
    case DirectPaths.REQUIRE:
      return 'require';
    default:
      return 'deny';
  }
}

function readTransport(transport: Transport, fields: Fields): snapshot.TransportProtocol {
  if (transport !== Transport.TCP && transport !== Transport.UDP) {
    fields.refuse('missing', 'transport', 'is neither TCP nor UDP');
  }
  return transport === Transport.UDP ? 'udp' : 'tcp';
}

function nameOf(value: { readonly name: string }): string {
  return value.name;
}

function portKey({ transport, port }: snapshot.ServicePort): string {
  return `${transport}/${port}`;
}
