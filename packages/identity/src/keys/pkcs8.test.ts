import { execFileSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { exportPrivateKey, generateKey, importPrivateKey, isEncryptedKey } from './pkcs8.ts';

const FEW_ROUNDS = 1000;

for (const kind of ['p256', 'ed25519'] as const) {
  it(`an encrypted ${kind} key comes back with its passphrase`, () => {
    const key = generateKey(kind);
    const pem = exportPrivateKey(key, 'correct horse', FEW_ROUNDS);
    expect(isEncryptedKey(pem)).toBe(true);
    expect(importPrivateKey(pem, 'correct horse').equals(key)).toBe(true);
  });
}

it('a wrong or missing passphrase is refused', () => {
  const pem = exportPrivateKey(generateKey('p256'), 'right', FEW_ROUNDS);
  expect(() => importPrivateKey(pem, 'wrong')).toThrow();
  expect(() => importPrivateKey(pem)).toThrow();
});

it('a key without passphrase is plain PKCS#8', () => {
  const key = generateKey('p256');
  const pem = exportPrivateKey(key);
  expect(isEncryptedKey(pem)).toBe(false);
  expect(importPrivateKey(pem).equals(key)).toBe(true);
});

it('OpenSSL reads an encrypted key', (context) => {
  try {
    execFileSync('openssl', ['version']);
  } catch {
    context.skip();
  }
  const pem = exportPrivateKey(generateKey('p256'), 'secret', FEW_ROUNDS);
  const out = execFileSync('openssl', ['pkcs8', '-passin', 'pass:secret'], { input: pem }).toString();
  expect(out).toContain('BEGIN PRIVATE KEY');
});
