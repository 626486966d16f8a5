import { createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import {
  type DecodeErrorKind,
  decodeGrant,
  encodeGrant,
  type Grant,
  grantSigningInput,
  type Result,
  type SignedGrant,
} from '@ztna/wire';
import { readCertificate } from './certificate.ts';
import { type PeerExpectation, type PeerIdentity, verifyPeer } from './verify/peer.ts';
import type { PeerRefusalCode } from './verify/refusal.ts';

/** The key and chain of the intermediate that grants; the same as in its TLS identity. */
export interface GrantIssuer {
  readonly key: KeyObject;
  /** DER, leaf first, without the root. */
  readonly chain: readonly Uint8Array[];
}

/** Why a grant is refused. */
export interface GrantRefusal {
  readonly code:
    | 'issuer'
    | 'signature'
    | 'content'
    | 'issuer-mismatch'
    | 'not-yet-valid'
    | 'expired'
    | 'key-mismatch';
  /** With `issuer` and `content`: the reason within. */
  readonly reason?: PeerRefusalCode | DecodeErrorKind;
  readonly detail: string;
}

/** What a grant must fit, beyond its issuer's chain. */
export interface GrantExpectation extends Omit<PeerExpectation, 'roles'> {
  /** Absent: whoever has the grant checks it against the inner handshake later. */
  readonly agent?: Pick<PeerIdentity, 'id' | 'keyThumbprint'>;
}

/** A grant that may be believed, and who signed it. */
export interface VerifiedGrant {
  readonly grant: Grant;
  readonly issuer: PeerIdentity;
}

/** How far an issuer's clock may be ahead, in milliseconds. */
export const GRANT_CLOCK_SKEW_MS = 60_000;

/** Signs a grant with the issuer's identity key; synchronous. */
export function signGrant(grant: Grant, issuer: GrantIssuer): SignedGrant {
  const bytes = encodeGrant(grant);
  const signature = sign(digestOf(issuer.key), grantSigningInput(bytes), issuer.key);
  return { grant: bytes, signature: new Uint8Array(signature), issuerChain: issuer.chain };
}

/**
 * Decides whether a grant may be believed: signed by an intermediate of this tenant whose chain holds now, strictly
 * decoded, valid now, and for the agent given. Synchronous. Whether the snapshot names the issuer, and what the
 * grant allows, is for the caller.
 */
export function verifyGrant(
  signed: SignedGrant,
  nowMs: number,
  expected: GrantExpectation,
): Result<VerifiedGrant, GrantRefusal> {
  const issuer = verifyPeer(signed.issuerChain, nowMs, { ...expected, roles: ['intermediate'] });
  if (!issuer.ok) return refuse('issuer', issuer.error.detail, issuer.error.code);
  if (!isSigned(signed)) return refuse('signature', `the signature is not ${issuer.value.id}'s`);
  const decoded = decodeGrant(signed.grant);
  if (!decoded.ok)
    return refuse('content', `${decoded.error.field}: ${decoded.error.detail}`, decoded.error.kind);
  const grant = decoded.value;
  if (grant.issuer !== issuer.value.id) {
    return refuse('issuer-mismatch', `it names ${grant.issuer}, but ${issuer.value.id} signed it`);
  }
  if (nowMs + GRANT_CLOCK_SKEW_MS < grant.notBeforeMs) {
    return refuse('not-yet-valid', 'it begins in the future; compare the clocks');
  }
  if (nowMs >= grant.notAfterMs) return refuse('expired', 'it has expired');
  const { agent } = expected;
  if (agent !== undefined && (grant.agent !== agent.id || grant.agentKey !== agent.keyThumbprint)) {
    return refuse('key-mismatch', `it is for another agent or key than ${agent.id}`);
  }
  return { ok: true, value: { grant, issuer: issuer.value } };
}

function isSigned({ grant, signature, issuerChain: [leaf] }: SignedGrant): boolean {
  const certificate = leaf === undefined ? undefined : readCertificate(leaf);
  if (certificate === undefined) return false;
  try {
    const key = createPublicKey({ key: Buffer.from(certificate.spki), format: 'der', type: 'spki' });
    return verify(digestOf(key), grantSigningInput(grant), key, signature);
  } catch {
    return false; // unsupported key
  }
}

/** ECDSA hashes first, with the digest that fits the curve; Ed25519 hashes by itself. */
function digestOf(key: KeyObject): string | null {
  if (key.asymmetricKeyType === 'ed25519') return null;
  return key.asymmetricKeyDetails?.namedCurve === 'secp384r1' ? 'sha384' : 'sha256';
}

function refuse(code: GrantRefusal['code'], detail: string, reason?: GrantRefusal['reason']) {
  return { ok: false, error: { code, detail, ...(reason === undefined ? {} : { reason }) } } as const;
}
