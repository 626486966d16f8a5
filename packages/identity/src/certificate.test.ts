import { X509Certificate } from 'node:crypto';
import fc from 'fast-check';
import { beforeAll, expect, it } from 'vitest';
import { keyThumbprint, readCertificate } from './certificate.ts';
import { oidText } from './der.ts';
import { issued, LAPTOP, testAuthority } from './testing.ts';

let certificates: Uint8Array[];

beforeAll(async () => {
  const ca = await testAuthority();
  const { chain } = await issued(ca.issuing, LAPTOP);
  certificates = [...chain, ca.root.certificate, ca.snapshot.certificate];
});

it('agrees with node:crypto on every field that both know', () => {
  for (const der of certificates) {
    const ours = readCertificate(der);
    const theirs = new X509Certificate(der);
    expect(ours?.serial.toUpperCase()).toBe(theirs.serialNumber);
    expect(ours?.serial).toHaveLength(32);
    expect(ours?.notBeforeMs).toBe(theirs.validFromDate.getTime());
    expect(ours?.notAfterMs).toBe(theirs.validToDate.getTime());
    expect(ours?.isCa).toBe(theirs.ca);
    expect(ours?.extendedKeyUsage).toEqual(theirs.keyUsage);
    expect(Buffer.from(ours?.spki ?? [])).toEqual(theirs.publicKey.export({ type: 'spki', format: 'der' }));
    expect(ours?.altNames?.map((name) => name.kind === 'uri' && `URI:${name.value}`).join()).toBe(
      theirs.subjectAltName,
    );
    expect(ours && keyThumbprint(ours)).toHaveLength(32);
  }
});

it('any bytes are a certificate or nothing', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void readCertificate(bytes)));
});

it('a certificate with bytes changed is read or refused, and never throws', () => {
  fc.assert(
    fc.property(fc.nat(), fc.nat(), fc.integer({ min: 1, max: 255 }), (which, at, change) => {
      const bytes = Uint8Array.from(certificates[which % certificates.length] ?? []);
      bytes[at % bytes.length] = (bytes[at % bytes.length] ?? 0) ^ change;
      readCertificate(bytes);
    }),
    { numRuns: 2000 },
  );
});

it('writes out object identifiers', () => {
  expect(oidText(Buffer.from('551d11', 'hex'))).toBe('2.5.29.17');
  expect(oidText(Buffer.from('2a864886f70d0109', 'hex'))).toBe('1.2.840.113549.1.9');
  expect(() => oidText(Buffer.from('8055', 'hex'))).toThrow();
  expect(() => oidText(Buffer.from('5581', 'hex'))).toThrow();
});
