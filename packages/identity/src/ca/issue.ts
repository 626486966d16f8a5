import { createPublicKey, type KeyObject } from 'node:crypto';
import { err, ok, type Result, type Role, type SpiffeId, spiffeParts } from '@ztna/wire';
import { readCertificate } from '../certificate.ts';
import type { KeyPair } from '../snapshot/signer.ts';
import * as x509 from '../x509.ts';
import { BACKDATING_MS, signCertificate } from './authority.ts';

const HOUR_MS = 3_600_000;

/** Lifetime of a component's certificate by role, in milliseconds (design §3). */
export const LEAF_LIFETIME_MS: Readonly<Record<Role, number>> = {
  agent: 24 * HOUR_MS,
  connector: 14 * 24 * HOUR_MS,
  intermediate: 14 * 24 * HOUR_MS,
  admin: 14 * 24 * HOUR_MS,
};

/** What `issueLeaf` is asked for. */
export interface LeafRequest {
  readonly id: SpiffeId;
  readonly publicKey: KeyObject;
  readonly nowMs: number;
  /** Absent: the role's lifetime, or the issuer's remaining time if that is shorter. */
  readonly ttlMs?: number;
}

/** Why no certificate was issued. */
export interface IssueRefusal {
  readonly code: 'issuer-expired' | 'ttl-too-long' | 'ttl-invalid' | 'key-unsupported' | 'csr-invalid';
  readonly detail: string;
}

/**
 * Issues the certificate of one component: the SPIFFE id as its only alternative name, good for both
 * sides of TLS, never an authority. Gives the chain in DER, leaf first, without the root.
 */
export async function issueLeaf(
  issuing: KeyPair,
  request: LeafRequest,
): Promise<Result<Uint8Array[], IssueRefusal>> {
  const notAfter = chooseEnd(issuing, request);
  if (!notAfter.ok) return notAfter;
  if (!isSupportedKey(request.publicKey)) {
    return refuse('key-unsupported', 'the key must be ECDSA P-256 or P-384');
  }
  const certificate = await signCertificate(issuing, {
    key: request.publicKey,
    name: `CN=${spiffeParts(request.id).name}`,
    notBeforeMs: request.nowMs - BACKDATING_MS,
    notAfterMs: notAfter.value,
    extensions: leafExtensions(request.id),
  });
  return ok([certificate, issuing.certificate]);
}

/**
 * The public key of a PKCS#10 request (PEM), once its signature shows that the requester holds the
 * private key. Names and extensions in the request are ignored: the issuer decides them.
 */
export async function publicKeyOfRequest(pem: string): Promise<Result<KeyObject, IssueRefusal>> {
  try {
    const request = new x509.Pkcs10CertificateRequest(pem);
    if (!(await request.verify())) return refuse('csr-invalid', 'the signature of the request is not valid');
    const spki = Buffer.from(request.publicKey.rawData);
    return ok(createPublicKey({ key: spki, format: 'der', type: 'spki' }));
  } catch {
    return refuse('csr-invalid', 'not a PKCS#10 request in PEM');
  }
}

/** A PKCS#10 request (PEM) for a key; it names nothing, the issuer does. */
export async function createRequest(key: KeyObject): Promise<string> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256' };
  const privateKey = await key.toCryptoKey(algorithm, false, ['sign']);
  const publicKey = await createPublicKey(key).toCryptoKey(algorithm, true, ['verify']);
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: 'CN=ztna',
    keys: { privateKey, publicKey },
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
  });
  return `${request.toString('pem')}\n`;
}

function chooseEnd(issuing: KeyPair, { id, nowMs, ttlMs }: LeafRequest): Result<number, IssueRefusal> {
  const issuerEnd = readCertificate(issuing.certificate)?.notAfterMs ?? 0;
  const ends = new Date(issuerEnd).toISOString();
  if (issuerEnd <= nowMs) return refuse('issuer-expired', `the issuing authority expired at ${ends}`);
  if (ttlMs === undefined) return ok(Math.min(nowMs + LEAF_LIFETIME_MS[spiffeParts(id).role], issuerEnd));
  if (!(ttlMs >= 1000)) return refuse('ttl-invalid', 'the lifetime must be at least one second');
  if (nowMs + ttlMs > issuerEnd) {
    return refuse('ttl-too-long', `the lifetime ends after the issuing authority does (${ends})`);
  }
  return ok(nowMs + ttlMs);
}

function isSupportedKey(key: KeyObject): boolean {
  const curve = key.asymmetricKeyDetails?.namedCurve;
  return key.asymmetricKeyType === 'ec' && (curve === 'prime256v1' || curve === 'secp384r1');
}

function leafExtensions(id: SpiffeId): x509.Extension[] {
  const { clientAuth, serverAuth } = x509.ExtendedKeyUsage;
  return [
    new x509.BasicConstraintsExtension(false, undefined, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
    new x509.ExtendedKeyUsageExtension([clientAuth, serverAuth]),
    new x509.SubjectAlternativeNameExtension([{ type: 'url', value: id }]),
  ];
}

function refuse(code: IssueRefusal['code'], detail: string) {
  return err({ code, detail });
}
