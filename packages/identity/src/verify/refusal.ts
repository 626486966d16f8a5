import { type Fault, ZtnaError } from '@ztna/wire';

/** Every reason for which a peer's certificates are refused. Stable; logged and counted by this name. */
export type PeerRefusalCode =
  | 'no-certificate'
  | 'malformed-certificate'
  /** The first certificate is an authority's, or a later one did not issue the one before it. */
  | 'chain-order'
  /** No root of the bundle stands above the leaf, or a signature or a CA's rights do not hold. */
  | 'untrusted'
  | 'not-yet-valid'
  | 'expired'
  /** Key usage or extended key usage do not fit a peer. */
  | 'wrong-usage'
  | 'no-san'
  | 'multiple-sans'
  /** A name that is no URI. */
  | 'foreign-san'
  | 'malformed-id'
  | 'foreign-domain'
  | 'foreign-tenant'
  | 'wrong-role'
  | 'revoked';

/** A plain value, not an Error: hostile peers must not cost a stack trace. */
export interface PeerRefusal {
  readonly code: PeerRefusalCode;
  /** For people: what is wrong with which certificate. */
  readonly detail: string;
}

/** A refusal as an error for logs and people; its code is `peer-<code>`. */
export function refusalError(refusal: PeerRefusal): ZtnaError {
  const fault: Fault = refusal.code === 'revoked' || refusal.code === 'wrong-role' ? 'policy' : 'peer';
  return new ZtnaError({
    code: `peer-${refusal.code}`,
    fault,
    happened: "the peer's certificate was refused",
    to: refusal.detail,
  });
}

/** A failed result with a PeerRefusal. */
export function refuse(code: PeerRefusalCode, detail: string): { ok: false; error: PeerRefusal } {
  return { ok: false, error: { code, detail } };
}
