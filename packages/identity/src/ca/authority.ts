import { createPublicKey, type KeyObject, randomBytes, type webcrypto } from 'node:crypto';
import { generateKey } from '../keys/pkcs8.ts';
import { type KeyPair, SNAPSHOT_SIGNING_EKU, snapshotSignerId } from '../snapshot/signer.ts';
import * as x509 from '../x509.ts';

/** Clocks of components may be this much behind the one that issues. */
export const BACKDATING_MS = 5 * 60_000;

/** Lifetime of each certificate that `pki init` makes, in milliseconds. */
export const CA_LIFETIME_MS = {
  root: 10 * 365 * 86_400_000,
  issuing: 2 * 365 * 86_400_000,
  snapshot: 2 * 365 * 86_400_000,
} as const;

/** Who and where the authority is for. */
export interface AuthorityOptions {
  readonly trustDomain: string;
  readonly tenant: string;
  readonly nowMs: number;
}

/** The keys of a trust domain: root, issuing authority below it, and the signer of snapshots. */
export interface Authority {
  readonly root: KeyPair;
  readonly issuing: KeyPair;
  readonly snapshot: KeyPair;
}

/**
 * Makes the two-tier authority of a trust domain (design §3). There are no name constraints: rustls
 * refuses every URI name below a CA that has a URI constraint, so the trust domain is checked by
 * `verifyPeer` instead.
 */
export async function createAuthority(options: AuthorityOptions): Promise<Authority> {
  const root = await createRoot(options);
  const issuing = await createBelowRoot(root, options, 'issuing');
  const snapshot = await createBelowRoot(root, options, 'snapshot');
  return { root, issuing, snapshot };
}

async function createRoot({ trustDomain, nowMs }: AuthorityOptions): Promise<KeyPair> {
  const key = generateKey('p256');
  const name = `CN=${trustDomain} root`;
  const extensions = caExtensions(1);
  return {
    key,
    certificate: await signCertificate({ key, name }, { key, name, extensions, ...validity(nowMs, 'root') }),
  };
}

async function createBelowRoot(
  root: KeyPair,
  { trustDomain, tenant, nowMs }: AuthorityOptions,
  kind: 'issuing' | 'snapshot',
): Promise<KeyPair> {
  const key = generateKey(kind === 'snapshot' ? 'ed25519' : 'p256');
  const signer = { key: root.key, certificate: root.certificate };
  const extensions =
    kind === 'issuing' ? caExtensions(0) : snapshotExtensions(snapshotSignerId(trustDomain, tenant));
  const subject = { key, name: `CN=${trustDomain} ${kind}`, extensions, ...validity(nowMs, kind) };
  return { key, certificate: await signCertificate(signer, subject) };
}

function caExtensions(pathLength: number): x509.Extension[] {
  return [
    new x509.BasicConstraintsExtension(true, pathLength, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
  ];
}

function snapshotExtensions(id: string): x509.Extension[] {
  return [
    new x509.BasicConstraintsExtension(false, undefined, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
    new x509.ExtendedKeyUsageExtension([SNAPSHOT_SIGNING_EKU], true),
    new x509.SubjectAlternativeNameExtension([{ type: 'url', value: id }]),
  ];
}

function validity(nowMs: number, kind: keyof typeof CA_LIFETIME_MS) {
  return { notBeforeMs: nowMs - BACKDATING_MS, notAfterMs: nowMs + CA_LIFETIME_MS[kind] };
}

/** What `signCertificate` puts into a certificate. `key` may be the public or the private one. */
export interface Subject {
  readonly key: KeyObject;
  /** RFC 4514 text. */
  readonly name: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly extensions: readonly x509.Extension[];
}

/** The issuer: its certificate, or the name alone for a self-signed one. */
export type Signer = { readonly key: KeyObject } & (
  | { readonly certificate: Uint8Array }
  | { readonly name: string }
);

/** Signs one certificate; gives DER. Key identifiers and a random 128-bit serial number are added. */
export async function signCertificate(signer: Signer, subject: Subject): Promise<Uint8Array> {
  const publicKey = spkiOf(subject.key);
  const issuerKey = spkiOf(signer.key);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: randomSerial(),
    subject: subject.name,
    issuer: 'name' in signer ? signer.name : new x509.X509Certificate(signer.certificate).subjectName,
    notBefore: new Date(subject.notBeforeMs),
    notAfter: new Date(subject.notAfterMs),
    publicKey,
    signingKey: await toSigningKey(signer.key),
    signingAlgorithm: signatureAlgorithm(signer.key),
    extensions: [
      ...subject.extensions,
      await x509.SubjectKeyIdentifierExtension.create(new x509.PublicKey(publicKey)),
      await x509.AuthorityKeyIdentifierExtension.create(new x509.PublicKey(issuerKey)),
    ],
  });
  return new Uint8Array(certificate.rawData);
}

function spkiOf(key: KeyObject): Uint8Array<ArrayBuffer> {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key;
  return Uint8Array.from(publicKey.export({ type: 'spki', format: 'der' }));
}

function signatureAlgorithm(key: KeyObject): webcrypto.Algorithm | webcrypto.EcdsaParams {
  if (key.asymmetricKeyType === 'ed25519') return { name: 'Ed25519' };
  const curve = key.asymmetricKeyDetails?.namedCurve;
  return { name: 'ECDSA', hash: curve === 'secp384r1' ? 'SHA-384' : 'SHA-256' };
}

async function toSigningKey(key: KeyObject): Promise<webcrypto.CryptoKey> {
  if (key.asymmetricKeyType === 'ed25519') return key.toCryptoKey('Ed25519', false, ['sign']);
  const namedCurve = key.asymmetricKeyDetails?.namedCurve === 'secp384r1' ? 'P-384' : 'P-256';
  return key.toCryptoKey({ name: 'ECDSA', namedCurve }, false, ['sign']);
}

/** 16 random bytes, the first in 0x40..0x7f: positive and of constant length in DER. */
function randomSerial(): string {
  const serial = randomBytes(16);
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
  return serial.toString('hex');
}
