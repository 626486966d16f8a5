import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { DirectPaths, type Snapshot as Proto, SnapshotSchema, Transport } from './gen/ztna/v2/snapshot_pb.ts';
import { formatHostPort } from './host-port.ts';
import type {
  DirectPaths as Direct,
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
      const services = content.services.map(({ name, ports, connectors, direct }) => ({
        name,
        ports: ports.map(({ transport, port }) => ({ transport: writeTransport(transport), port })),
        connectors: [...connectors],
        direct: writeDirect(direct),
      }));
      return { case: 'agent', value: { ...common, services, subject: content.subject } };
    }
    case 'connector': {
      const services = content.services.map(({ name, targets, direct }) => ({
        name,
        targets: targets.map(({ transport, port, backend, allowLocal }) => ({
          transport: writeTransport(transport),
          port,
          backend: formatHostPort(backend),
          allowLocal,
        })),
        direct: writeDirect(direct),
      }));
      const { showPrivateAddresses } = content;
      const rules = content.rules.map(writeRule);
      return { case: 'connector', value: { ...common, services, rules, showPrivateAddresses } };
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

function writeRule({ name, principals, services, direct }: PolicyRule) {
  return {
    name,
    principals: principals.map(({ agent, subject }) => ({ agent, subject })),
    services: [...services],
    direct: writeDirect(direct),
  };
}

function writeDirect(direct: Direct): DirectPaths {
  switch (direct) {
    case 'allow':
      return DirectPaths.UNSPECIFIED;
    case 'deny':
      return DirectPaths.DENY;
    case 'require':
      return DirectPaths.REQUIRE;
    default:
      return direct satisfies never;
  }
}

function writeTransport(transport: TransportProtocol): Transport {
  return transport === 'tcp' ? Transport.TCP : Transport.UDP;
}
