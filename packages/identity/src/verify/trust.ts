import { X509Certificate } from 'node:crypto';
import { ZtnaError } from '@ztna/wire';
import { type Certificate, isSignedBy, readCertificate } from '../certificate.ts';
import { type PeerRefusal, refuse } from './refusal.ts';

/** Most certificates that a peer may present. */
export const MAX_CHAIN_LENGTH = 5;

/** The roots that a component trusts. */
export interface TrustBundle {
  readonly roots: readonly Certificate[];
}

/**
 * Reads a PEM bundle of roots. Throws a ZtnaError (`trust-bundle`) when it holds none or something else.
 * To rotate, give old and new root together.
 */
export function readTrustBundle(pem: string): TrustBundle {
  const roots = splitPem(pem).map((block) => {
    const root = readCertificate(derOfPem(block));
    if (root === undefined || !canIssue(root, 0)) throw bundleError('a certificate in it is no authority');
    return root;
  });
  if (roots.length === 0) throw bundleError('it holds no certificate');
  return { roots };
}

/** The PEM certificates in a text. */
export function splitPem(pem: string): string[] {
  return pem.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [];
}

/** DER of one PEM certificate. Throws a ZtnaError when it is none. */
export function derOfPem(pem: string): Uint8Array {
  try {
    return new Uint8Array(new X509Certificate(pem).raw);
  } catch (cause) {
    throw new ZtnaError({
      code: 'certificate-malformed',
      fault: 'config',
      happened: 'not a certificate',
      cause,
    });
  }
}

function bundleError(why: string): ZtnaError {
  return new ZtnaError({
    code: 'trust-bundle',
    fault: 'config',
    happened: `the trust bundle cannot be used: ${why}`,
    remedy: 'give the PEM file of the root certificates, e.g. trust.pem of `ztna pki init`',
  });
}

/**
 * Follows a chain (leaf first) up to a root of the bundle and checks signatures, validity and rights of every
 * authority on the way. The leaf's own usage is the caller's to check. undefined: the chain holds.
 */
export function checkChain(
  chain: readonly Certificate[],
  bundle: TrustBundle,
  nowMs: number,
): PeerRefusal | undefined {
  for (const [depth, certificate] of chain.entries()) {
    const late = checkValidity(certificate, nowMs, depth);
    if (late !== undefined) return late;
    const root = bundle.roots.find((candidate) => isSignedBy(certificate, candidate));
    if (root !== undefined) return checkTop(root, chain, depth, nowMs);
    const above = chain[depth + 1];
    if (above === undefined) break;
    if (!Buffer.from(above.subject).equals(certificate.issuer)) {
      return refuse('chain-order', `certificate ${depth + 1} did not issue certificate ${depth}`).error;
    }
    if (!canIssue(above, depth) || !isSignedBy(certificate, above)) {
      return refuse('untrusted', `certificate ${depth + 1} has no right to issue certificate ${depth}`).error;
    }
  }
  return refuse('untrusted', 'no root of the trust bundle stands above the leaf').error;
}

function checkTop(
  root: Certificate,
  chain: readonly Certificate[],
  depth: number,
  nowMs: number,
): PeerRefusal | undefined {
  if (!canIssue(root, depth)) return refuse('untrusted', 'the chain is longer than its root allows').error;
  const rest = chain.slice(depth + 1);
  if (rest.length > 1 || (rest[0] !== undefined && !Buffer.from(rest[0].der).equals(root.der))) {
    return refuse('chain-order', 'certificates follow that do not belong to the chain').error;
  }
  return checkValidity(root, nowMs, depth + 1);
}

function checkValidity(certificate: Certificate, nowMs: number, depth: number): PeerRefusal | undefined {
  const which = depth === 0 ? 'the leaf' : `certificate ${depth} (an authority)`;
  const at = (ms: number) => new Date(ms).toISOString();
  if (nowMs < certificate.notBeforeMs) {
    return refuse('not-yet-valid', `${which} begins at ${at(certificate.notBeforeMs)}`).error;
  }
  // RFC 5280 §4.1.2.5: notAfter is inclusive, to the second.
  if (nowMs >= certificate.notAfterMs + 1000) {
    return refuse('expired', `${which} expired at ${at(certificate.notAfterMs)}`).error;
  }
  return undefined;
}

/** May this certificate issue one that has `authoritiesBelow` authorities between itself and the leaf? */
function canIssue(certificate: Certificate, authoritiesBelow: number): boolean {
  return (
    certificate.isCa &&
    certificate.keyUsage?.keyCertSign !== false &&
    certificate.unknownCritical.length === 0 &&
    (certificate.pathLength === undefined || authoritiesBelow <= certificate.pathLength)
  );
}
