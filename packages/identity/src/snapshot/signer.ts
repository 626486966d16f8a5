import type { KeyObject } from 'node:crypto';

/**
 * Extended key usage of the key that signs snapshots. An OID from a random UUID (ITU-T X.667), so that it
 * needs no registration. It stands alone and critical, which makes the certificate useless for TLS.
 */
export const SNAPSHOT_SIGNING_EKU = '2.25.334746801841488327649715760899787561087';

/** A certificate (DER) and its private key. */
export interface KeyPair {
  readonly certificate: Uint8Array;
  readonly key: KeyObject;
}

/** SPIFFE id in the certificate of the snapshot key. No role of a component, so no peer can have it. */
export function snapshotSignerId(trustDomain: string, tenant: string): string {
  return `spiffe://${trustDomain}/${tenant}/snapshot-signer`;
}
