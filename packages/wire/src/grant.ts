import { create, toBinary } from '@bufbuild/protobuf';
import { concat } from './bytes.ts';
import { Fields, memberId } from './fields.ts';
import {
  GrantSchema,
  type Grant as ProtoGrant,
  type SignedGrant as ProtoSignedGrant,
  SignedGrantSchema,
} from './gen/ztna/v2/grant_pb.ts';
import {
  idToBytes,
  type KeyThumbprint,
  keyThumbprintFromBytes,
  parseServiceName,
  parseSubjectName,
  parseTenantName,
  type Revision,
  type ServiceName,
  type SessionUid,
  type SpiffeId,
  type SubjectName,
  sessionUidFromBytes,
  type TenantName,
} from './ids.ts';
import { decodeMessage } from './protobuf.ts';
import { GRANT_FEATURES, LIMITS, SIGNATURE_CONTEXT } from './registry.ts';
import type { Result } from './result.ts';
import { parseSpiffeId, spiffeParts } from './spiffe.ts';

/** A time-bound decision of a policy. It only narrows: the connector decides again by its own snapshot. */
export interface Grant {
  readonly tenant: TenantName;
  readonly sessionUid: SessionUid;
  readonly agent: SpiffeId;
  readonly connector: SpiffeId;
  /** The intermediate that decided and signed. */
  readonly issuer: SpiffeId;
  /** SHA-256 of the agent's SubjectPublicKeyInfo. */
  readonly agentKey: KeyThumbprint;
  readonly subject: SubjectName;
  /** Never empty. */
  readonly services: readonly ServiceName[];
  readonly policyRevision: Revision;
  /** Milliseconds since the Unix epoch; valid from notBeforeMs until before notAfterMs. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly requiredFeatures: readonly string[];
}

/** A grant as it travels: nothing in `grant` may be believed before the signature has been verified. */
export interface SignedGrant {
  readonly grant: Uint8Array;
  readonly signature: Uint8Array;
  /** DER, leaf first. */
  readonly issuerChain: readonly Uint8Array[];
}

const UTF8 = new TextEncoder();

/** The bytes that a grant's signature covers. */
export function grantSigningInput(grant: Uint8Array): Uint8Array {
  return concat(UTF8.encode(SIGNATURE_CONTEXT.GRANT), grant);
}

export function encodeGrant(grant: Grant): Uint8Array {
  const { sessionUid, agentKey, policyRevision, notBeforeMs, notAfterMs } = grant;
  return toBinary(
    GrantSchema,
    create(GrantSchema, {
      tenant: grant.tenant,
      sessionUid: idToBytes(sessionUid),
      agent: grant.agent,
      connector: grant.connector,
      issuer: grant.issuer,
      agentKeyThumbprint: idToBytes(agentKey),
      subject: grant.subject,
      services: [...grant.services],
      policyRevision: BigInt(policyRevision),
      notBeforeMs: BigInt(notBeforeMs),
      notAfterMs: BigInt(notAfterMs),
      requiredFeatures: [...grant.requiredFeatures],
    }),
  );
}

/**
 * Decodes the signed content. Refused: unknown fields and features (an old reader that ignored a new condition
 * would widen access), ids of another tenant, trust domain or role, an empty list of services, an empty validity.
 */
export function decodeGrant(bytes: Uint8Array, known: ReadonlySet<string> = GRANT_FEATURES): Result<Grant> {
  const message = decodeMessage(GrantSchema, bytes, LIMITS.controlMessage, 'refuse');
  return message.ok ? readGrant(message.value, known) : message;
}

function readGrant(proto: ProtoGrant, known: ReadonlySet<string>): Result<Grant> {
  const fields = new Fields('grant');
  const tenant = fields.id('tenant', proto.tenant, parseTenantName);
  const issuer = fields.id('issuer', proto.issuer, parseSpiffeId);
  if (fields.failed) return fields.finish(undefined as never);
  const scope = { trustDomain: spiffeParts(issuer).trustDomain, tenant };
  const grant: Grant = {
    tenant,
    sessionUid: fields.use('session_uid', sessionUidFromBytes(proto.sessionUid)),
    agent: fields.id('agent', proto.agent, memberId(scope, 'agent')),
    connector: fields.id('connector', proto.connector, memberId(scope, 'connector')),
    issuer: fields.id('issuer', proto.issuer, memberId(scope, 'intermediate')),
    agentKey: fields.use('agent_key_thumbprint', keyThumbprintFromBytes(proto.agentKeyThumbprint)),
    subject: fields.id('subject', proto.subject, parseSubjectName),
    services: fields.unique('services', proto.services, LIMITS.services, parseServiceName, (name) => name),
    policyRevision: fields.uint('policy_revision', proto.policyRevision) as Revision,
    notBeforeMs: fields.uint('not_before_ms', proto.notBeforeMs),
    notAfterMs: fields.uint('not_after_ms', proto.notAfterMs),
    requiredFeatures: fields.features('required_features', proto.requiredFeatures, known),
  };
  if (proto.services.length === 0) fields.refuse('missing', 'services', 'names no service');
  if (proto.notAfterMs <= proto.notBeforeMs) fields.refuse('invalid', 'not_after_ms', 'is never valid');
  return fields.finish(grant);
}

export function readSignedGrant(proto: ProtoSignedGrant | undefined): Result<SignedGrant> {
  const fields = new Fields('signed_grant');
  const { grant, signature, issuerChain } = proto ?? create(SignedGrantSchema);
  if (issuerChain.length === 0) fields.refuse('missing', 'issuer_chain', 'is empty');
  return fields.finish({
    grant: fields.bytes('grant', grant, LIMITS.controlMessage),
    signature: fields.bytes('signature', signature, LIMITS.signature),
    issuerChain: fields.list('issuer_chain', issuerChain, LIMITS.chain, (der) => {
      const certificate = new Fields('certificate');
      return certificate.finish(certificate.bytes('der', der, LIMITS.certificate));
    }),
  });
}

export function writeSignedGrant(grant: SignedGrant): ProtoSignedGrant {
  return create(SignedGrantSchema, {
    grant: grant.grant,
    signature: grant.signature,
    issuerChain: [...grant.issuerChain],
  });
}

/** A signed grant in a file or a test vector; in control messages it is nested. */
export function encodeSignedGrant(grant: SignedGrant): Uint8Array {
  return toBinary(SignedGrantSchema, writeSignedGrant(grant));
}

export function decodeSignedGrant(bytes: Uint8Array): Result<SignedGrant> {
  const message = decodeMessage(SignedGrantSchema, bytes, LIMITS.controlMessage, 'refuse');
  return message.ok ? readSignedGrant(message.value) : message;
}
