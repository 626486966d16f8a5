import { X509Certificate } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { crafted, DAY, DOMAIN, HOUR, id, issued, LAPTOP, NOW, testAuthority } from '../testing.ts';
import * as x509 from '../x509.ts';
import { type PeerExpectation, reviewPeer, verifyPeer } from './peer.ts';
import { refusalError } from './refusal.ts';

let ca: Awaited<ReturnType<typeof testAuthority>>;
let other: typeof ca;
let agent: Uint8Array[];

beforeAll(async () => {
  [ca, other] = await Promise.all([testAuthority(), testAuthority()]);
  agent = (await issued(ca.issuing, LAPTOP)).chain;
});

describe('a peer is who its leaf says', () => {
  it('id, tenant, role, key and serial come from the leaf', () => {
    const node = new X509Certificate(agent[0] ?? '');
    const result = verifyPeer(agent, NOW, expected());
    expect(result).toEqual({
      ok: true,
      value: {
        id: LAPTOP,
        tenant: 'default',
        role: 'agent',
        authorities: [new X509Certificate(ca.issuing.certificate).serialNumber.toLowerCase()],
        serial: node.serialNumber.toLowerCase(),
        notAfterMs: Date.parse(node.validTo),
        keyThumbprint: expect.stringMatching(/^[0-9a-f]{64}$/),
      },
    });
  });

  it('the root at the end of the chain is allowed', () => {
    expect(verifyPeer([...agent, ca.root.certificate], NOW, expected()).ok).toBe(true);
  });

  it('a bundle with old and new root accepts both', async () => {
    const trust = { roots: [...other.trust.roots, ...ca.trust.roots] };
    const theirs = (await issued(other.issuing, LAPTOP)).chain;
    expect(verifyPeer(agent, NOW, expected({ trust })).ok).toBe(true);
    expect(verifyPeer(theirs, NOW, expected({ trust })).ok).toBe(true);
  });
});

describe('the chain', () => {
  it('no certificate', () => expect(codeOf([])).toBe('no-certificate'));
  it('bytes that are no certificate', () => {
    expect(codeOf([Uint8Array.of(0x30, 0)])).toBe('malformed-certificate');
    expect(codeOf([agent[0]?.subarray(0, -1) ?? new Uint8Array()])).toBe('malformed-certificate');
  });
  it('too many certificates', () => {
    expect(codeOf(Array(6).fill(agent[0]))).toBe('malformed-certificate');
  });
  it('authority first, leaf second', () => expect(codeOf(agent.toReversed())).toBe('chain-order'));
  it('a leaf of nobody in front of a good chain', async () => {
    const [stranger] = (await issued(other.issuing, id('agent/admin'))).chain;
    // The names of both authorities are the same, so the signature decides.
    expect(codeOf([stranger ?? new Uint8Array(), ...agent.slice(1)])).toBe('untrusted');
    expect(codeOf([stranger ?? new Uint8Array(), ...agent])).toBe('chain-order');
  });
  it('a certificate after the root', () => {
    expect(codeOf([...agent, ca.root.certificate, agent[1] ?? new Uint8Array()])).toBe('chain-order');
  });
  it('the issuing authority is missing', () => expect(codeOf(agent.slice(0, 1))).toBe('untrusted'));
  it('another root', () => expect(codeOf(agent, { trust: other.trust })).toBe('untrusted'));
  it('no root', () => expect(codeOf(agent, { trust: { roots: [] } })).toBe('untrusted'));
  it('an issuer that is no authority', async () => {
    const leaf = await issued(ca.issuing, LAPTOP);
    const below = await crafted({ key: leaf.key, certificate: leaf.chain[0] ?? new Uint8Array() }, {});
    expect(codeOf([below, ...leaf.chain])).toBe('untrusted');
  });
  it('an issuer that may sign certificates by its key usage, but is no authority', async () => {
    const { key } = await issued(ca.issuing, LAPTOP);
    const keyUsage = x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyCertSign;
    const middle = await crafted(ca.root, { key, keyUsage });
    expect(codeOf([await crafted({ key, certificate: middle }, {}), middle])).toBe('untrusted');
  });
  it('an authority below the issuing one, which may have none', async () => {
    const key = (await issued(ca.issuing, LAPTOP)).key;
    const keyUsage = x509.KeyUsageFlags.keyCertSign;
    const sub = await crafted(ca.issuing, { key, ca: true, keyUsage, names: null });
    const leaf = await crafted({ key, certificate: sub }, {});
    expect(codeOf([leaf, sub, ca.issuing.certificate])).toBe('untrusted');
  });
  it('a signature that was changed', () => {
    const leaf = Uint8Array.from(agent[0] ?? []);
    leaf[leaf.length - 1] = (leaf.at(-1) ?? 0) ^ 1;
    expect(codeOf([leaf, ...agent.slice(1)])).toBe('untrusted');
  });
});

describe('time', () => {
  it('holds from five minutes before to 24 hours after for agents', () => {
    expect(codeOf(agent, {}, NOW - 5 * 60_000)).toBe('ok');
    expect(codeOf(agent, {}, NOW - 5 * 60_000 - 1)).toBe('not-yet-valid');
    expect(codeOf(agent, {}, NOW + DAY)).toBe('ok');
    expect(codeOf(agent, {}, NOW + DAY + 1000)).toBe('expired');
  });
  it('an expired authority ends its leaves', async () => {
    const leaf = await crafted(ca.issuing, { notAfterMs: NOW + 4000 * DAY });
    const chain = [leaf, ca.issuing.certificate];
    expect(codeOf(chain, {}, NOW + 700 * DAY)).toBe('ok');
    const late = verifyPeer(chain, NOW + 800 * DAY, expected());
    expect(late).toMatchObject({ error: { code: 'expired', detail: expect.stringContaining('authority') } });
  });
});

describe('names', () => {
  const uri = (value: string) => ({ type: 'url' as const, value });
  const cases: [string, string, Parameters<typeof crafted>[1]][] = [
    ['no name', 'no-san', { names: null }],
    ['two SPIFFE ids', 'multiple-sans', { names: [uri(LAPTOP), uri(id('agent/admin'))] }],
    ['the same id twice', 'multiple-sans', { names: [uri(LAPTOP), uri(LAPTOP)] }],
    ['a second URI', 'multiple-sans', { names: [uri(LAPTOP), uri('https://corp.example/')] }],
    [
      'a DNS name beside the id',
      'foreign-san',
      { names: [uri(LAPTOP), { type: 'dns', value: 'a.example' }] },
    ],
    ['a DNS name alone', 'foreign-san', { names: [{ type: 'dns', value: 'laptop.corp.example' }] }],
    ['an address', 'foreign-san', { names: [uri(LAPTOP), { type: 'ip', value: '10.0.0.1' }] }],
    ['an e-mail address', 'foreign-san', { names: [uri(LAPTOP), { type: 'email', value: 'a@b.example' }] }],
    ['a URI that is no SPIFFE id', 'malformed-id', { names: [uri('https://corp.example/')] }],
    ['a role that there is not', 'malformed-id', { names: [uri(id('snapshot-signer'))] }],
    ['an id with a query', 'malformed-id', { names: [uri(`${LAPTOP}?x`)] }],
    ['a foreign trust domain', 'foreign-domain', { names: [uri(id('agent/laptop', 'evil.example'))] }],
    [
      'a longer trust domain',
      'foreign-domain',
      { names: [uri(id('agent/laptop', `${DOMAIN}.evil.example`))] },
    ],
    ['a foreign tenant', 'foreign-tenant', { names: [uri(`spiffe://${DOMAIN}/acme/agent/laptop`)] }],
    ['another role', 'wrong-role', { names: [uri(id('connector/berlin/c1'))] }],
  ];
  for (const [what, code, how] of cases) {
    it(what, async () => {
      expect(codeOf([await crafted(ca.issuing, how), ca.issuing.certificate])).toBe(code);
    });
  }
});

describe('usage', () => {
  const { clientAuth, serverAuth } = x509.ExtendedKeyUsage;
  const cases: [string, Parameters<typeof crafted>[1]][] = [
    ['client alone', { usages: [clientAuth] }],
    ['server alone', { usages: [serverAuth] }],
    ['no key usage', { keyUsage: null }],
    [
      'key usage of an authority',
      { keyUsage: x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyCertSign },
    ],
    [
      'a critical extension that is not known',
      { extra: [new x509.Extension('1.2.3.4', true, new ArrayBuffer(2))] },
    ],
  ];
  for (const [what, how] of cases) {
    it(what, async () => {
      expect(codeOf([await crafted(ca.issuing, how), ca.issuing.certificate])).toBe('wrong-usage');
    });
  }
  it('a leaf that is an authority', async () => {
    expect(codeOf([await crafted(ca.issuing, { ca: true }), ca.issuing.certificate])).toBe('chain-order');
  });
  it('an extension that appears twice', async () => {
    const extra = [new x509.BasicConstraintsExtension(false, undefined, true)];
    expect(codeOf([await crafted(ca.issuing, { extra }), ca.issuing.certificate])).toBe(
      'malformed-certificate',
    );
  });
  it("the snapshot key's certificate is no TLS identity", () => {
    expect(codeOf([ca.snapshot.certificate])).toBe('wrong-usage');
  });
});

describe('revocation', () => {
  it('by id, serial and key, of the leaf; by serial, of the authority', () => {
    const peer = verifyPeer(agent, NOW, expected());
    if (!peer.ok) throw new Error(peer.error.detail);
    const authority = new X509Certificate(ca.issuing.certificate).serialNumber.toLowerCase();
    const { serial, keyThumbprint } = peer.value;
    for (const entry of [
      LAPTOP,
      `serial:${serial}`,
      `serial:00${serial}`,
      `key:${keyThumbprint}`,
      `serial:${authority}`,
    ]) {
      expect(codeOf(agent, { revoked: [id('agent/else'), entry] })).toBe('revoked');
    }
  });
  it('ends the stay of a peer that was let in, and so does time', () => {
    const peer = verifyPeer(agent, NOW, expected());
    if (!peer.ok) throw new Error(peer.error.detail);
    const authority = new X509Certificate(ca.issuing.certificate).serialNumber.toLowerCase();
    const { id: name, serial, keyThumbprint, notAfterMs } = peer.value;
    for (const entry of [name, `serial:${serial}`, `key:${keyThumbprint}`, `serial:${authority}`]) {
      expect(reviewPeer(peer.value, NOW, [entry])).toMatchObject({ code: 'revoked' });
    }
    expect(reviewPeer(peer.value, notAfterMs, ['serial:1234'])).toBeUndefined();
    expect(reviewPeer(peer.value, notAfterMs + 1_000, [])).toMatchObject({ code: 'expired' });
  });
  it('of somebody else changes nothing', () => {
    expect(codeOf(agent, { revoked: [id('agent/else'), 'serial:1234', `key:${'0'.repeat(64)}`] })).toBe('ok');
  });
});

it('a refusal becomes an error with code and fault', () => {
  const error = refusalError({ code: 'expired', detail: 'the leaf expired' });
  expect(error).toMatchObject({ code: 'peer-expired', fault: 'peer' });
});

it('lifetimes follow the role', async () => {
  const connector = await issued(ca.issuing, id('connector/berlin/c1'));
  const result = verifyPeer(connector.chain, NOW, expected({ roles: ['connector'] }));
  expect(result).toMatchObject({ ok: true, value: { notAfterMs: NOW + 14 * DAY } });
  const short = await issued(ca.issuing, LAPTOP, NOW, HOUR);
  expect(codeOf(short.chain, {}, NOW + 2 * HOUR)).toBe('expired');
});

function expected(changes: Partial<PeerExpectation> = {}): PeerExpectation {
  return {
    trust: ca.trust,
    trustDomain: DOMAIN,
    tenant: 'default',
    roles: ['agent'],
    revoked: [],
    ...changes,
  };
}

function codeOf(chain: Uint8Array[], changes: Partial<PeerExpectation> = {}, nowMs = NOW): string {
  const result = verifyPeer(chain, nowMs, expected(changes));
  return result.ok ? 'ok' : result.error.code;
}
