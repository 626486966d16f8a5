import { createPublicKey, sign, verify } from 'node:crypto';
import {
  decodeSnapshot,
  decodeSnapshotEnvelope,
  encodeSnapshot,
  encodeSnapshotEnvelope,
  type Result,
  type Snapshot,
  type SpiffeId,
  snapshotSigningInput,
  spiffeParts,
} from '@ztna/wire';
import { type Certificate, isSignedBy, readCertificate } from '../certificate.ts';
import type { TrustBundle } from '../verify/trust.ts';
import { type KeyPair, SNAPSHOT_SIGNING_EKU, snapshotSignerId } from './signer.ts';

/** Why a snapshot is not taken. Stable; a NACK carries it. */
export type SnapshotRefusalCode =
  | 'malformed'
  /** The certificate of the snapshot key is not one, not of this tenant, or not from a root of the bundle. */
  | 'untrusted-signer'
  | 'signer-expired'
  | 'bad-signature'
  | 'unknown-field'
  | 'unknown-feature'
  | 'foreign-domain'
  | 'foreign-tenant'
  | 'other-audience'
  | 'older-epoch'
  | 'older-revision'
  | 'not-yet-valid'
  | 'expired';

export interface SnapshotRefusal {
  readonly code: SnapshotRefusalCode;
  readonly detail: string;
}

/** Epoch and revision of the last snapshot that was taken. */
export interface Accepted {
  readonly epoch: number;
  readonly revision: number;
}

export interface SnapshotExpectation {
  readonly trust: TrustBundle;
  /** Who takes it; trust domain and tenant are those of the id. */
  readonly audience: SpiffeId;
  /** Absent: nothing was taken before. The same revision may be taken again. */
  readonly last?: Accepted;
}

/** How far the signer's clock may be ahead, in milliseconds. */
export const SNAPSHOT_CLOCK_SKEW_MS = 5 * 60_000;

/** Signs a snapshot (Ed25519); gives the bytes of the envelope. */
export function signSnapshot(snapshot: Snapshot, signer: KeyPair): Uint8Array {
  const bytes = encodeSnapshot(snapshot);
  const signature = new Uint8Array(sign(null, snapshotSigningInput(bytes), signer.key));
  return encodeSnapshotEnvelope({ snapshot: bytes, signature, signer: signer.certificate });
}

/**
 * Decides whether a component takes a snapshot (design §10): signed by the key that a root of the bundle delegated,
 * for this very component, not older than the last one, valid now, nothing in it unknown.
 */
export function verifySnapshot(
  envelope: Uint8Array,
  nowMs: number,
  expected: SnapshotExpectation,
): Result<Snapshot, SnapshotRefusal> {
  const outer = decodeSnapshotEnvelope(envelope);
  if (!outer.ok) return refuse('malformed', `it is no snapshot envelope (${outer.error.detail})`);
  const { trustDomain, tenant } = spiffeParts(expected.audience);
  const signer = readCertificate(outer.value.signer);
  const distrust = checkSigner(signer, expected.trust, snapshotSignerId(trustDomain, tenant), nowMs);
  if (distrust !== undefined || signer === undefined)
    return distrust ?? refuse('untrusted-signer', 'no signer');
  if (!isSigned(signer, outer.value.snapshot, outer.value.signature)) {
    return refuse('bad-signature', "the signature is not the snapshot key's");
  }
  const decoded = decodeSnapshot(outer.value.snapshot);
  if (decoded.ok) return checkContent(decoded.value, nowMs, expected);
  const { kind, field, detail } = decoded.error;
  const code = kind === 'unknown-field' || kind === 'unknown-feature' ? kind : 'malformed';
  return refuse(code, `${field}: ${detail}`);
}

/** Reads an envelope for people, without believing it: no signature, audience or time is checked. */
export function peekSnapshot(envelope: Uint8Array): Result<Snapshot, SnapshotRefusal> {
  const outer = decodeSnapshotEnvelope(envelope);
  const inner = outer.ok ? decodeSnapshot(outer.value.snapshot) : outer;
  return inner.ok ? inner : refuse('malformed', `${inner.error.field}: ${inner.error.detail}`);
}

function checkSigner(
  signer: Certificate | undefined,
  trust: TrustBundle,
  id: string,
  nowMs: number,
): ReturnType<typeof refuse> | undefined {
  if (signer === undefined) return refuse('untrusted-signer', 'its certificate cannot be read');
  const [name, ...others] = signer.altNames ?? [];
  if (name?.kind !== 'uri' || name.value !== id || others.length > 0) {
    return refuse('untrusted-signer', `its certificate is not for ${id}`);
  }
  const [usage, ...furtherUsages] = signer.extendedKeyUsage ?? [];
  if (signer.isCa || usage !== SNAPSHOT_SIGNING_EKU || furtherUsages.length > 0) {
    return refuse('untrusted-signer', 'its certificate is not for signing snapshots');
  }
  if (signer.keyUsage?.digitalSignature !== true || signer.unknownCritical.length > 0) {
    return refuse(
      'untrusted-signer',
      'its certificate is not for signing, or has conditions that are not known',
    );
  }
  const root = trust.roots.find((candidate) => isSignedBy(signer, candidate));
  if (root === undefined) return refuse('untrusted-signer', 'no root of the trust bundle delegated its key');
  for (const { notBeforeMs, notAfterMs } of [signer, root]) {
    if (nowMs < notBeforeMs || nowMs >= notAfterMs + 1000) {
      return refuse('signer-expired', 'the certificate of its key, or the root above, is not valid now');
    }
  }
  return undefined;
}

function checkContent(
  snapshot: Snapshot,
  nowMs: number,
  { audience, last }: SnapshotExpectation,
): Result<Snapshot, SnapshotRefusal> {
  const own = spiffeParts(audience);
  if (snapshot.trustDomain !== own.trustDomain) {
    return refuse('foreign-domain', `it is for trust domain ${snapshot.trustDomain}, not ${own.trustDomain}`);
  }
  if (snapshot.tenant !== own.tenant) {
    return refuse('foreign-tenant', `it is for tenant ${snapshot.tenant}, not ${own.tenant}`);
  }
  if (snapshot.audience !== audience) {
    return refuse('other-audience', `it is for ${snapshot.audience}, not ${audience}`);
  }
  if (last !== undefined && snapshot.epoch < last.epoch) {
    return refuse('older-epoch', `its epoch is ${snapshot.epoch}, ${last.epoch} was taken before`);
  }
  if (last !== undefined && snapshot.epoch === last.epoch && snapshot.revision < last.revision) {
    return refuse(
      'older-revision',
      `its revision is ${snapshot.revision}, ${last.revision} was taken before`,
    );
  }
  if (nowMs + SNAPSHOT_CLOCK_SKEW_MS < snapshot.issuedAtMs) {
    return refuse('not-yet-valid', 'it was issued in the future; compare the clocks');
  }
  if (nowMs >= snapshot.expiresAtMs) {
    return refuse('expired', `it expired at ${new Date(snapshot.expiresAtMs).toISOString()}`);
  }
  return { ok: true, value: snapshot };
}

function isSigned(signer: Certificate, snapshot: Uint8Array, signature: Uint8Array): boolean {
  try {
    const key = createPublicKey({ key: Buffer.from(signer.spki), format: 'der', type: 'spki' });
    return (
      key.asymmetricKeyType === 'ed25519' && verify(null, snapshotSigningInput(snapshot), key, signature)
    );
  } catch {
    return false; // not a key
  }
}

function refuse(code: SnapshotRefusalCode, detail: string) {
  return { ok: false, error: { code, detail } } as const;
}
