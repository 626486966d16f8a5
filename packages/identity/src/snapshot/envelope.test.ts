import { sign } from 'node:crypto';
import {
  decodeSnapshotEnvelope,
  encodeSnapshotEnvelope,
  type Revision,
  type Snapshot,
  type SpiffeId,
  type SubjectName,
  snapshotSigningInput,
  type TenantName,
  type TrustDomain,
} from '@ztna/wire';
import fc from 'fast-check';
import { beforeAll, expect, it } from 'vitest';
import { crafted, DAY, DOMAIN, id, issued, LAPTOP, NOW, testAuthority } from '../testing.ts';
import { type SnapshotExpectation, signSnapshot, verifySnapshot } from './envelope.ts';
import { SNAPSHOT_SIGNING_EKU, snapshotSignerId } from './signer.ts';

let ca: Awaited<ReturnType<typeof testAuthority>>;

beforeAll(async () => {
  ca = await testAuthority();
});

it('a signed snapshot comes back', () => {
  expect(verifySnapshot(signSnapshot(snapshot(), ca.snapshot), NOW, expected())).toEqual({
    ok: true,
    value: snapshot(),
  });
});

it('is taken by its audience alone', () => {
  const bytes = signSnapshot(snapshot(), ca.snapshot);
  expect(codeOf(bytes, { audience: id('agent/phone') })).toBe('other-audience');
});

it('of a foreign tenant or domain is refused', () => {
  const foreign = 'spiffe://other.example/default/agent/laptop' as SpiffeId;
  // The signer's certificate is for one trust domain and tenant, so it is refused first.
  expect(codeOf(signSnapshot(snapshot(), ca.snapshot), { audience: foreign })).toBe('untrusted-signer');
  const acme = `spiffe://${DOMAIN}/acme/agent/laptop` as SpiffeId;
  expect(codeOf(signSnapshot(snapshot(), ca.snapshot), { audience: acme })).toBe('untrusted-signer');
  const domain = { trustDomain: 'other.example' as TrustDomain, audience: foreign };
  expect(codeOf(signSnapshot(snapshot(domain), ca.snapshot))).toBe('foreign-domain');
  const tenant = { tenant: 'acme' as TenantName, audience: acme };
  expect(codeOf(signSnapshot(snapshot(tenant), ca.snapshot))).toBe('foreign-tenant');
});

it('older ones are refused, the same and newer ones taken', () => {
  const bytes = signSnapshot(snapshot(), ca.snapshot);
  expect(codeOf(bytes, { last: { epoch: 2, revision: 8 } })).toBe('older-revision');
  expect(codeOf(bytes, { last: { epoch: 3, revision: 1 } })).toBe('older-epoch');
  expect(codeOf(bytes, { last: { epoch: 2, revision: 7 } })).toBe('ok');
  expect(codeOf(bytes, { last: { epoch: 1, revision: 99 } })).toBe('ok');
});

it('holds from its issue, with five minutes for the clocks, until before its end', () => {
  const bytes = signSnapshot(snapshot(), ca.snapshot);
  expect(codeOf(bytes, {}, NOW - 5 * 60_000)).toBe('ok');
  expect(codeOf(bytes, {}, NOW - 5 * 60_000 - 1)).toBe('signer-expired');
  const early = signSnapshot(snapshot({ issuedAtMs: NOW + DAY, expiresAtMs: NOW + 2 * DAY }), ca.snapshot);
  expect(codeOf(early)).toBe('not-yet-valid');
  expect(codeOf(bytes, {}, NOW + DAY - 1)).toBe('ok');
  expect(codeOf(bytes, {}, NOW + DAY)).toBe('expired');
});

it('with a condition that is not known is refused', () => {
  const bytes = signSnapshot(snapshot({ requiredFeatures: ['posture'] }), ca.snapshot);
  expect(codeOf(bytes)).toBe('unknown-feature');
});

it('with a field that is not known is refused', () => {
  const outer = decodeSnapshotEnvelope(signSnapshot(snapshot(), ca.snapshot));
  if (!outer.ok) throw new Error(outer.error.detail);
  const bytes = Uint8Array.from([...outer.value.snapshot, 0xf8, 0x07, 1]); // field 127, varint 1
  const signature = new Uint8Array(sign(null, snapshotSigningInput(bytes), ca.snapshot.key));
  expect(codeOf(encodeSnapshotEnvelope({ ...outer.value, snapshot: bytes, signature }))).toBe(
    'unknown-field',
  );
});

it('unsigned, or with any byte changed, is refused', () => {
  const good = signSnapshot(snapshot(), ca.snapshot);
  const outer = decodeSnapshotEnvelope(good);
  if (!outer.ok) throw new Error(outer.error.detail);
  const unsigned = encodeSnapshotEnvelope({ ...outer.value, signature: new Uint8Array(64) });
  expect(codeOf(unsigned)).toBe('bad-signature');
  fc.assert(
    fc.property(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
      const bytes = Uint8Array.from(good);
      bytes[at] = (bytes[at] ?? 0) ^ change;
      expect(codeOf(bytes)).not.toBe('ok');
    }),
  );
});

it('any bytes are refused', () => {
  fc.assert(fc.property(fc.uint8Array(), (bytes) => codeOf(bytes) !== 'ok'));
});

it('no other key of the trust domain can sign', async () => {
  const agent = await issued(ca.issuing, LAPTOP);
  const leaf = { key: agent.key, certificate: agent.chain[0] ?? new Uint8Array() };
  expect(codeOf(signSnapshot(snapshot(), { ...ca.snapshot, certificate: leaf.certificate }))).toBe(
    'untrusted-signer',
  );
  expect(codeOf(signSnapshot(snapshot(), { ...ca.snapshot, certificate: ca.issuing.certificate }))).toBe(
    'untrusted-signer',
  );
  const other = await testAuthority();
  expect(codeOf(signSnapshot(snapshot(), other.snapshot))).toBe('untrusted-signer');
});

it('the issuing authority cannot delegate a snapshot key, the root can', async () => {
  const how = {
    names: [{ type: 'url' as const, value: snapshotSignerId(DOMAIN, 'default') }],
    usages: [SNAPSHOT_SIGNING_EKU],
    key: ca.snapshot.key,
  };
  const byIssuing = { key: ca.snapshot.key, certificate: await crafted(ca.issuing, how) };
  expect(codeOf(signSnapshot(snapshot(), byIssuing))).toBe('untrusted-signer');
  const byRoot = { key: ca.snapshot.key, certificate: await crafted(ca.root, how) };
  expect(codeOf(signSnapshot(snapshot(), byRoot))).toBe('ok');
  for (const usages of [['1.3.6.1.5.5.7.3.2'], [SNAPSHOT_SIGNING_EKU, '1.3.6.1.5.5.7.3.2']]) {
    const forTls = { key: ca.snapshot.key, certificate: await crafted(ca.root, { ...how, usages }) };
    expect(codeOf(signSnapshot(snapshot(), forTls))).toBe('untrusted-signer');
  }
});

function snapshot(changes: Partial<Snapshot> = {}): Snapshot {
  return {
    trustDomain: DOMAIN as TrustDomain,
    tenant: 'default' as TenantName,
    audience: LAPTOP,
    epoch: 2,
    revision: 7 as Revision,
    issuedAtMs: NOW,
    expiresAtMs: NOW + DAY,
    requiredFeatures: [],
    content: { role: 'agent', intermediates: [], services: [], revoked: [], subject: 'alice' as SubjectName },
    ...changes,
  };
}

function codeOf(bytes: Uint8Array, changes: Partial<SnapshotExpectation> = {}, nowMs = NOW): string {
  const result = verifySnapshot(bytes, nowMs, { trust: ca.trust, audience: LAPTOP, ...changes });
  return result.ok ? 'ok' : result.error.code;
}

function expected(): SnapshotExpectation {
  return { trust: ca.trust, audience: LAPTOP };
}
