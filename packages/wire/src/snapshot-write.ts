import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { type Snapshot as Proto, SnapshotSchema, Transport } from './gen/ztna/v2/snapshot_pb.ts';
import { formatHostPort } from './host-port.ts';
import type {
  IntermediateEntry,
  PolicyRule,
  Snapshot,
  SnapshotContent,
  TransportProtocol,
} from './snapshot.ts';

/** The protobuf form of a snapshot. */
export function writeSnapshot(snapshot: Snapshot): Proto {
  const { trustDomain, tenant, audience, epoch, revision, issuedAtMs, expiresAtMs } = snapshot;
  return create(SnapshotSchema, {
    trustDomain,
    tenant,
    audience,
    epoch: BigInt(epoch),
    revision: BigInt(revision),
    issuedAtMs: BigInt(issuedAtMs),
    expiresAtMs: BigInt(expiresAtMs),
    requiredFeatures: [...snapshot.requiredFeatures],
    content: writeContent(snapshot.content),
  });
}

type ContentInit = NonNullable<MessageInitShape<typeof SnapshotSchema>['content']>;

function writeContent(content: SnapshotContent): ContentInit {
  const common = {
    intermediates: content.intermediates.map(writeEntry),
    revoked: [...content.revoked],
  };
  switch (content.role) {
    case 'agent': {
      const services = content.services.map(({ name, ports, connectors }) => ({
        name,
        ports: ports.map(({ transport, port }) => ({ transport: writeTransport(transport), port })),
        connectors: [...connectors],
      }));
      return { case: 'agent', value: { ...common, services, subject: content.subject } };
    }
    case 'connector': {
      const services = content.services.map(({ name, targets }) => ({
        name,
        targets: targets.map(({ transport, port, backend, allowLocal }) => ({
          transport: writeTransport(transport),
          port,
          backend: formatHostPort(backend),
          allowLocal,
        })),
      }));
      return { case: 'connector', value: { ...common, services, rules: content.rules.map(writeRule) } };
    }
    case 'intermediate': {
      const services = content.services.map(({ name, connectors }) => ({
        name,
        connectors: [...connectors],
      }));
      return { case: 'intermediate', value: { ...common, services, rules: content.rules.map(writeRule) } };
    }
    default:
      return content satisfies never;
  }
}

function writeEntry({ name, id, addresses }: IntermediateEntry) {
  return { name, id, addresses: addresses.map(formatHostPort) };
}

function writeRule({ name, principals, services }: PolicyRule) {
  return {
    name,
    principals: principals.map(({ agent, subject }) => ({ agent, subject })),
    services: [...services],
  };
}

function writeTransport(transport: TransportProtocol): Transport {
  return transport === 'tcp' ? Transport.TCP : Transport.UDP;
}
