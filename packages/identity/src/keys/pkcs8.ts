import {
  createCipheriv,
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  pbkdf2Sync,
  randomBytes,
} from 'node:crypto';
import { der, derInteger, TAG } from '../der.ts';

/** PBKDF2-HMAC-SHA-256 rounds for keys at rest (OWASP's figure for 2023 and later). */
export const PBKDF2_ITERATIONS = 600_000;

/** Kinds of key that this package makes. */
export type KeyKind = 'p256' | 'ed25519';

/** A fresh private key. */
export function generateKey(kind: KeyKind): KeyObject {
  if (kind === 'ed25519') return generateKeyPairSync('ed25519').privateKey;
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
}

/**
 * PKCS#8 PEM of a private key; encrypted (PBES2, RFC 8018: PBKDF2-HMAC-SHA-256 and AES-256-CBC) when a
 * passphrase is given. Node's own export uses 2,048 rounds, too few for a passphrase, so the envelope is
 * made here; OpenSSL and Node read it.
 */
export function exportPrivateKey(
  key: KeyObject,
  passphrase?: string,
  iterations = PBKDF2_ITERATIONS,
): string {
  if (passphrase === undefined) return key.export({ type: 'pkcs8', format: 'pem' }).toString();
  const plain = key.export({ type: 'pkcs8', format: 'der' });
  const salt = randomBytes(16);
  const iv = randomBytes(16);
  const cipher = createCipheriv('aes-256-cbc', pbkdf2Sync(passphrase, salt, iterations, 32, 'sha256'), iv);
  const encrypted = Buffer.concat([cipher.update(plain), cipher.final()]);
  plain.fill(0);
  return toPem('ENCRYPTED PRIVATE KEY', encryptedPrivateKeyInfo(salt, iterations, iv, encrypted));
}

/** Reads a PKCS#8 (or SEC1) PEM private key. Throws what node:crypto throws. */
export function importPrivateKey(pem: string, passphrase?: string): KeyObject {
  return createPrivateKey(passphrase === undefined ? { key: pem } : { key: pem, passphrase });
}

/** True when the PEM needs a passphrase. */
export function isEncryptedKey(pem: string): boolean {
  return pem.includes('-----BEGIN ENCRYPTED PRIVATE KEY-----') || pem.includes('Proc-Type: 4,ENCRYPTED');
}

/** PEM text (RFC 7468) of DER bytes. */
export function toPem(label: string, bytes: Uint8Array): string {
  const lines =
    Buffer.from(bytes)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

function encryptedPrivateKeyInfo(salt: Uint8Array, rounds: number, iv: Uint8Array, data: Uint8Array) {
  const prf = der(TAG.sequence, oid('2a864886f70d0209'), der(TAG.null)); // hmacWithSHA256
  const kdfParams = der(TAG.sequence, der(TAG.octetString, salt), derInteger(rounds), prf);
  const kdf = der(TAG.sequence, oid('2a864886f70d01050c'), kdfParams); // PBKDF2
  const scheme = der(TAG.sequence, oid('60864801650304012a'), der(TAG.octetString, iv)); // aes256-CBC
  const pbes2 = der(TAG.sequence, oid('2a864886f70d01050d'), der(TAG.sequence, kdf, scheme));
  return der(TAG.sequence, pbes2, der(TAG.octetString, data));
}

function oid(hex: string): Uint8Array {
  return der(TAG.oid, Buffer.from(hex, 'hex'));
}
