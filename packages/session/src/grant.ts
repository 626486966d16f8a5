import type { Grant, SessionUid, SignedGrant, SpiffeId, TenantName } from '@ztna/wire';
import type { PeerIdentity } from './types.ts';

/**
 * Checks the signature and the issuer's chain (trust domain, role intermediate, validity, revocation) and
 * parses strictly: an unknown field or required feature is a failure. Must be synchronous.
 */
export type VerifyGrant = (
  signed: SignedGrant,
) => VerifiedGrant | { readonly ok: false; readonly reason: string };
export interface VerifiedGrant {
  readonly ok: true;
  readonly grant: Grant;
  /** From the issuer's leaf certificate. */
  readonly issuer: SpiffeId;
}
/** Signs with this intermediate's identity key. Must be synchronous. */
export type SignGrant = (grant: Grant) => SignedGrant;

/** How far the clock of an issuer may be ahead of the verifier's. */
export const CLOCK_SKEW_MS = 60_000;

/** Longest validity that is believed: what an intermediate may not grant, a stolen key of one may not either. */
export const MAX_GRANT_MS = 24 * 3_600_000;

export interface GrantExpectation {
  readonly tenant: TenantName;
  readonly session: SessionUid;
  /** Intermediates that the verifier's snapshot names and does not revoke. */
  readonly isIssuer: (id: SpiffeId) => boolean;
  readonly agent?: Pick<PeerIdentity, 'id' | 'keyThumbprint'>;
  readonly connector?: SpiffeId;
}

export type GrantCheck =
  | { readonly ok: true; readonly grant: Grant }
  | { readonly ok: false; readonly code: 'grant-invalid' | 'grant-expired'; readonly reason: string };

/** Verifies a grant and everything in it that can be known without a policy. */
export function checkGrant(
  signed: SignedGrant,
  verify: VerifyGrant,
  expected: GrantExpectation,
  now: number,
): GrantCheck {
  const verified = verify(signed);
  if (!verified.ok) return invalid(verified.reason);
  const { grant, issuer } = verified;
  if (grant.issuer !== issuer) return invalid('issuer differs from the certificate that signed');
  if (!expected.isIssuer(issuer)) return invalid('issuer is not an intermediate of the snapshot');
  if (grant.tenant !== expected.tenant) return invalid('foreign tenant');
  if (grant.sessionUid !== expected.session) return invalid('other session');
  if (expected.agent && grant.agent !== expected.agent.id) return invalid('other agent');
  if (expected.agent && grant.agentKey !== expected.agent.keyThumbprint) return invalid('other key');
  if (expected.connector !== undefined && grant.connector !== expected.connector)
    return invalid('other connector');
  if (grant.notBeforeMs > now + CLOCK_SKEW_MS) return invalid('not valid yet; compare the clocks');
  if (grant.notAfterMs > now + MAX_GRANT_MS) return invalid('valid for too long');
  if (grant.notAfterMs <= now) return { ok: false, code: 'grant-expired', reason: 'expired' };
  return { ok: true, grant };
}

function invalid(reason: string): GrantCheck {
  return { ok: false, code: 'grant-invalid', reason };
}
