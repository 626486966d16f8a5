import {
  encodeGrant,
  type Grant,
  type KeyThumbprint,
  type Revision,
  type ServiceName,
  type SessionUid,
  type SubjectName,
  type TenantName,
} from '@ztna/wire';
import { beforeAll, expect, it } from 'vitest';
import { type GrantExpectation, type GrantIssuer, signGrant, verifyGrant } from './grant.ts';
import { DAY, DOMAIN, HOUR, id, issued, LAPTOP, NOW, testAuthority } from './testing.ts';

const ISSUER = id('intermediate/eu-1');
const KEY = 'ab'.repeat(32) as KeyThumbprint;

let ca: Awaited<ReturnType<typeof testAuthority>>;
let issuer: GrantIssuer;

beforeAll(async () => {
  ca = await testAuthority();
  issuer = await issued(ca.issuing, ISSUER);
});

it('a signed grant comes back with its issuer', () => {
  const result = verifyGrant(signGrant(grant(), issuer), NOW, expected());
  expect(result).toMatchObject({ ok: true, value: { grant: grant(), issuer: { id: ISSUER } } });
});

it('a grant with a changed byte is refused', () => {
  const signed = signGrant(grant(), issuer);
  const changed = { ...signed, grant: encodeGrant({ ...grant(), subject: 'mallory' as SubjectName }) };
  expect(codeOf(changed)).toBe('signature');
});

it('an enrolled agent or connector cannot grant', async () => {
  for (const path of ['agent/laptop', 'connector/berlin/c1']) {
    const peer = await issued(ca.issuing, id(path));
    const result = verifyGrant(signGrant(grant(), peer), NOW, expected());
    expect(result).toMatchObject({ error: { code: 'issuer', reason: 'wrong-role' } });
  }
});

it("a chain that is not the signer's is refused", async () => {
  const connector = await issued(ca.issuing, id('connector/berlin/c1'));
  expect(codeOf(signGrant(grant(), { key: connector.key, chain: issuer.chain }))).toBe('signature');
});

it('an intermediate cannot grant in the name of another', () => {
  expect(codeOf(signGrant(grant({ issuer: id('intermediate/eu-2') }), issuer))).toBe('issuer-mismatch');
});

it("an issuer's expiry and revocation are seen", () => {
  const signed = signGrant(grant({ notAfterMs: NOW + 100 * DAY }), issuer);
  expect(verifyGrant(signed, NOW + 15 * DAY, expected())).toMatchObject({ error: { reason: 'expired' } });
  const revoked = verifyGrant(signed, NOW, expected({ revoked: [ISSUER] }));
  expect(revoked).toMatchObject({ error: { code: 'issuer', reason: 'revoked' } });
});

it('holds from notBefore, with a minute for the clocks, until before notAfter', () => {
  const signed = signGrant(grant({ notBeforeMs: NOW, notAfterMs: NOW + HOUR }), issuer);
  expect(codeOf(signed, NOW - 60_000)).toBe('ok');
  expect(codeOf(signed, NOW - 60_001)).toBe('not-yet-valid');
  expect(codeOf(signed, NOW + HOUR - 1)).toBe('ok');
  expect(codeOf(signed, NOW + HOUR)).toBe('expired');
});

it('is bound to agent and key', () => {
  const signed = signGrant(grant(), issuer);
  const agent = { id: LAPTOP, keyThumbprint: KEY };
  expect(verifyGrant(signed, NOW, expected({ agent })).ok).toBe(true);
  const otherKey = { ...agent, keyThumbprint: 'cd'.repeat(32) as KeyThumbprint };
  expect(verifyGrant(signed, NOW, expected({ agent: otherKey }))).toMatchObject({
    error: { code: 'key-mismatch' },
  });
  const otherAgent = { ...agent, id: id('agent/phone') };
  expect(verifyGrant(signed, NOW, expected({ agent: otherAgent }))).toMatchObject({
    error: { code: 'key-mismatch' },
  });
});

it('a condition that is not known is refused', () => {
  const signed = signGrant(grant({ requiredFeatures: ['office-hours'] }), issuer);
  expect(verifyGrant(signed, NOW, expected())).toMatchObject({
    error: { code: 'content', reason: 'unknown-feature' },
  });
});

it('bytes that are no grant are refused', () => {
  expect(codeOf({ grant: new Uint8Array(3), signature: new Uint8Array(3), issuerChain: [] })).toBe('issuer');
  const chained = { grant: new Uint8Array(3), signature: new Uint8Array(3), issuerChain: issuer.chain };
  expect(codeOf(chained)).toBe('signature');
});

function grant(changes: Partial<Grant> = {}): Grant {
  return {
    tenant: 'default' as TenantName,
    sessionUid: '01'.repeat(16) as SessionUid,
    agent: LAPTOP,
    connector: id('connector/berlin/c1'),
    issuer: ISSUER,
    agentKey: KEY,
    subject: 'alice' as SubjectName,
    services: ['web' as ServiceName],
    policyRevision: 7 as Revision,
    notBeforeMs: NOW - 1000,
    notAfterMs: NOW + HOUR,
    requiredFeatures: [],
    ...changes,
  };
}

function expected(changes: Partial<GrantExpectation> = {}): GrantExpectation {
  return { trust: ca.trust, trustDomain: DOMAIN, tenant: 'default', revoked: [], ...changes };
}

function codeOf(signed: Parameters<typeof verifyGrant>[0], nowMs = NOW): string {
  const result = verifyGrant(signed, nowMs, expected());
  return result.ok ? 'ok' : result.error.code;
}
