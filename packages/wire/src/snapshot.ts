import { create, toBinary } from '@bufbuild/protobuf';
import { concat } from './bytes.ts';
import { Fields } from './fields.ts';
import { SnapshotEnvelopeSchema, SnapshotSchema } from './gen/ztna/v2/snapshot_pb.ts';
import type {
  ComponentName,
  Revision,
  ServiceName,
  SpiffeId,
  SubjectName,
  TenantName,
  TrustDomain,
} from './ids.ts';
import { decodeMessage } from './protobuf.ts';
import { LIMITS, SIGNATURE_CONTEXT, SNAPSHOT_FEATURES } from './registry.ts';
import type { Result } from './result.ts';
import { readSnapshot } from './snapshot-read.ts';
import { writeSnapshot } from './snapshot-write.ts';

/** A snapshot as it travels: nothing in it may be believed before the signature has been verified. */
export interface SnapshotEnvelope {
  readonly snapshot: Uint8Array;
  readonly signature: Uint8Array;
  /** DER: certificate of the snapshot key. */
  readonly signer: Uint8Array;
}

/** What one revision of the configuration means for one component. All ids are of its trust domain and tenant. */
export interface Snapshot {
  readonly trustDomain: TrustDomain;
  readonly tenant: TenantName;
  /** The one component for which this is; its role is that of the content. */
  readonly audience: SpiffeId;
  readonly epoch: number;
  /** At least 1. */
  readonly revision: Revision;
  /** Milliseconds since the Unix epoch. */
  readonly issuedAtMs: number;
  readonly expiresAtMs: number;
  readonly requiredFeatures: readonly string[];
  readonly content: SnapshotContent;
}

export type SnapshotContent = AgentContent | ConnectorContent | IntermediateContent;
export type TransportProtocol = 'tcp' | 'udp';

/** `host` is a DNS name or an address without brackets. */
export interface HostPort {
  readonly host: string;
  readonly port: number;
}

export interface IntermediateEntry {
  readonly name: ComponentName;
  readonly id: SpiffeId;
  /** Never empty. */
  readonly addresses: readonly HostPort[];
}

/** Whether sessions may use direct paths: deny is stricter than require, require than allow. */
export type DirectPaths = 'allow' | 'deny' | 'require';

export interface AgentContent {
  readonly role: 'agent';
  readonly intermediates: readonly IntermediateEntry[];
  readonly services: readonly AgentService[];
  readonly revoked: readonly SpiffeId[];
  /** The user or workload behind this agent. */
  readonly subject: SubjectName;
}

export interface AgentService {
  readonly name: ServiceName;
  readonly ports: readonly ServicePort[];
  /** The connectors that may serve it. The inner handshake must match one. */
  readonly connectors: readonly SpiffeId[];
  /** The strictest of the service and of the rules by which this agent may reach it. */
  readonly direct: DirectPaths;
}

export interface ServicePort {
  readonly transport: TransportProtocol;
  readonly port: number;
}

export interface ConnectorContent {
  readonly role: 'connector';
  readonly intermediates: readonly IntermediateEntry[];
  readonly services: readonly ConnectorService[];
  readonly rules: readonly PolicyRule[];
  readonly revoked: readonly SpiffeId[];
  /** Private addresses (RFC 1918, ULA) may be shown to agents: the site opted in. */
  readonly showPrivateAddresses: boolean;
}

export interface ConnectorService {
  readonly name: ServiceName;
  readonly targets: readonly Target[];
  /** Narrows what the rules say. */
  readonly direct: DirectPaths;
}

export interface Target {
  readonly transport: TransportProtocol;
  /** Port of the service as agents see it. */
  readonly port: number;
  readonly backend: HostPort;
  /** Loopback, link-local and the connector's own listeners are dialled only when this is set. */
  readonly allowLocal: boolean;
}

export interface IntermediateContent {
  readonly role: 'intermediate';
  readonly intermediates: readonly IntermediateEntry[];
  readonly services: readonly IntermediateService[];
  readonly rules: readonly PolicyRule[];
  readonly revoked: readonly SpiffeId[];
}

export interface IntermediateService {
  readonly name: ServiceName;
  readonly connectors: readonly SpiffeId[];
}

/** Allows; there is no deny rule, the default is deny, and an empty list allows nothing. */
export interface PolicyRule {
  readonly name: string;
  readonly principals: readonly Principal[];
  readonly services: readonly ServiceName[];
  /** Of sessions that carry one of the services. Always `allow` at an intermediate, which has no say in paths. */
  readonly direct: DirectPaths;
}

/** A device and who is behind it. */
export interface Principal {
  readonly agent: SpiffeId;
  readonly subject: SubjectName;
}

const UTF8 = new TextEncoder();

/** The bytes that a snapshot's signature covers. */
export function snapshotSigningInput(snapshot: Uint8Array): Uint8Array {
  return concat(UTF8.encode(SIGNATURE_CONTEXT.SNAPSHOT), snapshot);
}

/** The bytes to be signed and enveloped. Throws RangeError over LIMITS.snapshot. */
export function encodeSnapshot(snapshot: Snapshot): Uint8Array {
  const bytes = toBinary(SnapshotSchema, writeSnapshot(snapshot));
  if (bytes.length > LIMITS.snapshot) {
    throw new RangeError(`snapshot of ${bytes.length} bytes, the limit is ${LIMITS.snapshot}`);
  }
  return bytes;
}

/**
 * Decodes the signed content. Refused: unknown fields at any depth, unknown features and enum values, ids of another
 * tenant, trust domain or role, content for another role than the audience's, the same name twice.
 * Signature, audience and validity are for the caller.
 */
export function decodeSnapshot(
  bytes: Uint8Array,
  known: ReadonlySet<string> = SNAPSHOT_FEATURES,
): Result<Snapshot> {
  const message = decodeMessage(SnapshotSchema, bytes, LIMITS.snapshot, 'refuse');
  return message.ok ? readSnapshot(message.value, known) : message;
}

export function encodeSnapshotEnvelope(envelope: SnapshotEnvelope): Uint8Array {
  return toBinary(SnapshotEnvelopeSchema, create(SnapshotEnvelopeSchema, { ...envelope }));
}

export function decodeSnapshotEnvelope(bytes: Uint8Array): Result<SnapshotEnvelope> {
  const message = decodeMessage(SnapshotEnvelopeSchema, bytes, LIMITS.snapshotEnvelope, 'refuse');
  if (!message.ok) return message;
  const { snapshot, signature, signer } = message.value;
  const fields = new Fields('SnapshotEnvelope');
  return fields.finish({
    snapshot: fields.bytes('snapshot', snapshot, LIMITS.snapshot),
    signature: fields.bytes('signature', signature, LIMITS.signature),
    signer: fields.bytes('signer', signer, LIMITS.certificate),
  });
}
