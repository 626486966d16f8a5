/** What can be revoked about a peer. Hexadecimal is lower case. */
export interface RevocableNames {
  readonly id?: string;
  /** Certificate serial number without leading zeros. */
  readonly serial?: string;
  /** SHA-256 of the SubjectPublicKeyInfo. */
  readonly keyThumbprint?: string;
}

/**
 * True when a list of revocations names the peer: by SPIFFE id, `serial:<hex>` or `key:<hex>`. Snapshots carry
 * SPIFFE ids; the other forms are for lists that a component keeps of its own.
 */
export function isRevoked(revoked: readonly string[], names: RevocableNames): boolean {
  if (revoked.length === 0) return false;
  return (
    (names.id !== undefined && revoked.includes(names.id)) ||
    (names.serial !== undefined && revoked.some((entry) => matchesSerial(entry, names.serial ?? ''))) ||
    (names.keyThumbprint !== undefined && revoked.includes(`key:${names.keyThumbprint}`))
  );
}

/** Leading zeros are no part of a number, however tools print it. */
function matchesSerial(entry: string, serial: string): boolean {
  return entry.startsWith('serial:') && entry.slice(7).replace(/^0+(?=.)/, '') === serial;
}
