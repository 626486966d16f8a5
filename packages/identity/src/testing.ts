/** A PKI in memory, and certificates of any shape, for the tests of this package. */
import type { KeyObject } from 'node:crypto';
import type { SpiffeId } from '@ztna/wire';
import { createAuthority, signCertificate } from './ca/authority.ts';
import { issueLeaf } from './ca/issue.ts';
import { generateKey, toPem } from './keys/pkcs8.ts';
import type { KeyPair } from './snapshot/signer.ts';
import { readTrustBundle } from './verify/trust.ts';
import * as x509 from './x509.ts';

export const DOMAIN = 'corp.example';
export const NOW = Date.UTC(2026, 0, 15, 12);
export const HOUR = 3_600_000;
export const DAY = 24 * HOUR;

export const id = (path: string, domain = DOMAIN) => `spiffe://${domain}/default/${path}` as SpiffeId;
export const LAPTOP = id('agent/laptop');

/** An authority with its trust bundle. */
export async function testAuthority(trustDomain = DOMAIN, nowMs = NOW) {
  const authority = await createAuthority({ trustDomain, tenant: 'default', nowMs });
  return { ...authority, trust: readTrustBundle(toPem('CERTIFICATE', authority.root.certificate)) };
}

/** Key and chain of a component, issued as `pki issue` does. */
export async function issued(issuing: KeyPair, spiffeId: SpiffeId, nowMs = NOW, ttlMs?: number) {
  const key = generateKey('p256');
  const result = await issueLeaf(issuing, {
    ...{ id: spiffeId, publicKey: key, nowMs },
    ...(ttlMs === undefined ? {} : { ttlMs }),
  });
  if (!result.ok) throw new Error(result.error.detail);
  return { key, chain: result.value };
}

const { clientAuth, serverAuth } = x509.ExtendedKeyUsage;

/** How a crafted leaf differs from a good one. */
export interface Crafted {
  readonly names?: x509.JsonGeneralNames | null;
  readonly usages?: string[];
  readonly keyUsage?: number | null;
  readonly ca?: boolean;
  readonly extra?: x509.Extension[];
  readonly notBeforeMs?: number;
  readonly notAfterMs?: number;
  readonly key?: KeyObject;
}

/** A leaf of any shape, signed by an issuer. */
export async function crafted(issuer: KeyPair, how: Crafted): Promise<Uint8Array> {
  const { names = [{ type: 'url', value: LAPTOP }], keyUsage = x509.KeyUsageFlags.digitalSignature } = how;
  const key = how.key ?? generateKey('p256');
  return signCertificate(issuer, {
    key,
    name: 'CN=crafted',
    notBeforeMs: how.notBeforeMs ?? NOW - HOUR,
    notAfterMs: how.notAfterMs ?? NOW + HOUR,
    extensions: [
      new x509.BasicConstraintsExtension(how.ca ?? false, undefined, true),
      ...(keyUsage === null ? [] : [new x509.KeyUsagesExtension(keyUsage, true)]),
      new x509.ExtendedKeyUsageExtension(how.usages ?? [clientAuth, serverAuth]),
      ...(names === null ? [] : [new x509.SubjectAlternativeNameExtension(names)]),
      ...(how.extra ?? []),
    ],
  });
}
