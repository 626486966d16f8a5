import { createHash, X509Certificate } from 'node:crypto';
import { type DerElement, DerError, expectTag, oidText, readAll, readOnly, TAG } from './der.ts';

/** Largest certificate that is looked at, in bytes. */
export const MAX_CERTIFICATE_BYTES = 16 * 1024;

/** A name in the subjectAltName extension; anything but a URI is kept by its kind alone. */
export type AltName =
  | { readonly kind: 'uri'; readonly value: string }
  | { readonly kind: 'dns' | 'ip' | 'email' | 'directory' | 'other' };

/** The fields of an X.509 certificate (RFC 5280) that decisions are taken from. */
export interface Certificate {
  readonly der: Uint8Array;
  /** DER of the names, compared byte for byte. */
  readonly subject: Uint8Array;
  readonly issuer: Uint8Array;
  /** Lower-case hexadecimal without leading zeros. */
  readonly serial: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** DER of the SubjectPublicKeyInfo. */
  readonly spki: Uint8Array;
  readonly isCa: boolean;
  /** Greatest number of CA certificates that may follow below; undefined: no bound. */
  readonly pathLength: number | undefined;
  readonly keyUsage: { readonly digitalSignature: boolean; readonly keyCertSign: boolean } | undefined;
  /** Dotted OIDs; undefined when the extension is absent. */
  readonly extendedKeyUsage: readonly string[] | undefined;
  /** undefined when the extension is absent. */
  readonly altNames: readonly AltName[] | undefined;
  /** OIDs of critical extensions that this package does not evaluate: the certificate must be refused. */
  readonly unknownCritical: readonly string[];
}

/** Reads a DER certificate; undefined when it is not one. Checks no signature and no time. */
export function readCertificate(der: Uint8Array): Certificate | undefined {
  if (der.length > MAX_CERTIFICATE_BYTES) return undefined;
  try {
    return parse(der);
  } catch (error) {
    if (error instanceof DerError) return undefined;
    throw error;
  }
}

/** SHA-256 of the SubjectPublicKeyInfo, 32 bytes: names a key whatever certificate carries it. */
export function keyThumbprint(certificate: Certificate): Uint8Array {
  return createHash('sha256').update(certificate.spki).digest();
}

/** True when `issuer`'s key made the signature on `certificate` and the names match. */
export function isSignedBy(certificate: Certificate, issuer: Certificate): boolean {
  if (!Buffer.from(certificate.issuer).equals(issuer.subject)) return false;
  try {
    return new X509Certificate(certificate.der).verify(new X509Certificate(issuer.der).publicKey);
  } catch {
    return false; // unsupported key or algorithm
  }
}

const OID = {
  subjectKeyId: '2.5.29.14',
  keyUsage: '2.5.29.15',
  altName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  authorityKeyId: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
} as const;
const EVALUATED: ReadonlySet<string> = new Set(Object.values(OID));

function parse(bytes: Uint8Array): Certificate {
  const [tbs] = readAll(readOnly(bytes, TAG.sequence).value, 3);
  const fields = readAll(expectTag(tbs, TAG.sequence).value, 10);
  if (fields[0]?.tag === 0xa0) fields.shift(); // version
  const [serial, , issuer, validity, subject, spki, ...rest] = fields;
  const [notBefore, notAfter] = readAll(expectTag(validity, TAG.sequence).value, 2);
  const extensions = readExtensions(rest.find((field) => field.tag === 0xa3));
  return {
    der: bytes,
    subject: expectTag(subject, TAG.sequence).bytes,
    issuer: expectTag(issuer, TAG.sequence).bytes,
    serial: serialText(expectTag(serial, TAG.integer).value),
    notBeforeMs: readTime(notBefore),
    notAfterMs: readTime(notAfter),
    spki: expectTag(spki, TAG.sequence).bytes,
    ...readBasicConstraints(extensions.get(OID.basicConstraints)?.value),
    keyUsage: readKeyUsage(extensions.get(OID.keyUsage)?.value),
    extendedKeyUsage: readExtendedKeyUsage(extensions.get(OID.extendedKeyUsage)?.value),
    altNames: readAltNames(extensions.get(OID.altName)?.value),
    unknownCritical: [...extensions].filter(([id, e]) => e.critical && !EVALUATED.has(id)).map(([id]) => id),
  };
}

interface Extension {
  readonly critical: boolean;
  readonly value: Uint8Array;
}

function readExtensions(field: DerElement | undefined): Map<string, Extension> {
  const extensions = new Map<string, Extension>();
  if (field === undefined) return extensions;
  for (const entry of readAll(readOnly(field.value, TAG.sequence).value, 32)) {
    const parts = readAll(expectTag(entry, TAG.sequence).value, 3);
    const id = oidText(expectTag(parts[0], TAG.oid).value);
    const critical = parts.length === 3 && readBoolean(parts[1]);
    if (extensions.has(id)) throw new DerError(`extension ${id} appears twice`); // RFC 5280 §4.2
    extensions.set(id, { critical, value: expectTag(parts.at(-1), TAG.octetString).value });
  }
  return extensions;
}

function readBasicConstraints(value: Uint8Array | undefined) {
  if (value === undefined) return { isCa: false, pathLength: undefined };
  const parts = readAll(readOnly(value, TAG.sequence).value, 2);
  const isCa = parts[0]?.tag === TAG.boolean && readBoolean(parts.shift());
  const length = parts.length === 0 ? undefined : expectTag(parts[0], TAG.integer).value;
  if (length !== undefined && (length.length !== 1 || (length[0] ?? 0) > 127)) {
    throw new DerError('path length out of range');
  }
  return { isCa, pathLength: length?.[0] };
}

function readKeyUsage(value: Uint8Array | undefined) {
  if (value === undefined) return undefined;
  const bits = readOnly(value, TAG.bitString).value[1] ?? 0; // the first byte counts unused bits
  return { digitalSignature: (bits & 0x80) !== 0, keyCertSign: (bits & 0x04) !== 0 };
}

function readExtendedKeyUsage(value: Uint8Array | undefined): string[] | undefined {
  if (value === undefined) return undefined;
  return readAll(readOnly(value, TAG.sequence).value).map((id) => oidText(expectTag(id, TAG.oid).value));
}

const ALT_NAME_KINDS = { 129: 'email', 130: 'dns', 164: 'directory', 135: 'ip' } as const;

function readAltNames(value: Uint8Array | undefined): AltName[] | undefined {
  if (value === undefined) return undefined;
  return readAll(readOnly(value, TAG.sequence).value).map((name) => {
    if (name.tag === 0x86) return { kind: 'uri', value: ascii(name.value) };
    return { kind: ALT_NAME_KINDS[name.tag as keyof typeof ALT_NAME_KINDS] ?? 'other' };
  });
}

function readBoolean(element: DerElement | undefined): boolean {
  const value = expectTag(element, TAG.boolean).value;
  if (value.length !== 1 || (value[0] !== 0 && value[0] !== 0xff)) throw new DerError('not a boolean');
  return value[0] === 0xff;
}

function readTime(element: DerElement | undefined): number {
  if (element?.tag !== 0x17 && element?.tag !== 0x18) throw new DerError('not a time');
  const text = ascii(element.value);
  const match = /^(\d{2}|\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/.exec(text);
  if (match === null || (element.tag === 0x17) !== (match[1]?.length === 2)) throw new DerError('not a time');
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match.slice(1).map(Number);
  const full = element.tag === 0x18 ? year : year + (year < 50 ? 2000 : 1900); // RFC 5280 §4.1.2.5.1
  return Date.UTC(full, month - 1, day, hour, minute, second);
}

function serialText(value: Uint8Array): string {
  return Buffer.from(value)
    .toString('hex')
    .replace(/^0+(?=.)/, '');
}

function ascii(bytes: Uint8Array): string {
  if (bytes.some((byte) => byte < 0x20 || byte > 0x7e)) throw new DerError('not printable ASCII');
  return Buffer.from(bytes).toString('latin1');
}
