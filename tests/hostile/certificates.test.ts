import { join } from 'node:path';
import { generateKey, toPem } from '@ztna/identity';
import { createAuthority, issueLeaf } from '@ztna/identity/pki';
import { ALPN, type SpiffeId } from '@ztna/wire';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openPart } from '../../packages/identity/src/pki/directory.ts';
import { type Crafted, crafted } from '../../packages/identity/src/testing.ts';
import { TRUST_DOMAIN } from '../e2e/support/pki.ts';
import { type Arena, startArena } from './support/arena.ts';
import { type Credentials, credentialsOf, endpointOf, fateOf, HostilePeer } from './support/peer.ts';

const HOUR = 3_600_000;
const LAPTOP = `spiffe://${TRUST_DOMAIN}/default/agent/laptop`;
const url = (value: string) => ({ type: 'url' as const, value });

let arena: Arena;
beforeAll(async () => {
  arena = await startArena();
});
afterAll(() => arena[Symbol.asyncDispose]());

describe('refused in the handshake', () => {
  test.each<[string, () => Promise<Credentials | undefined> | undefined]>([
    ['no certificate', () => undefined],
    ['one of a foreign authority, for the same name', foreign],
    [
      'one that has expired',
      () => leaf({ notBeforeMs: Date.now() - 2 * HOUR, notAfterMs: Date.now() - HOUR }),
    ],
    [
      'one that is not valid yet',
      () => leaf({ notBeforeMs: Date.now() + HOUR, notAfterMs: Date.now() + 2 * HOUR }),
    ],
  ])('%s', async (_, credentials) => {
    const before = arena.stack.intermediate.stats().peers;
    const fate = await attempt(await credentials());
    expect(fate).toMatchObject({ kind: 'tls' });
    expect(arena.stack.intermediate.stats().peers).toBe(before);
    await arena.unharmed();
  });
});

describe('refused by what the leaf says, with a code and a counter', () => {
  test.each<[string, string, () => Promise<Credentials>]>([
    ['no SAN', 'no-san', () => leaf({ names: null })],
    ['two SANs', 'multiple-sans', () => leaf({ names: [url(LAPTOP), url(`${LAPTOP}2`)] })],
    [
      'a SAN that is no URI',
      'foreign-san',
      () => leaf({ names: [url(LAPTOP), { type: 'dns', value: 'laptop' }] }),
    ],
    ['another trust domain', 'foreign-domain', () => leaf({ names: [url('spiffe://evil/default/agent/a')] })],
    [
      'another tenant',
      'foreign-tenant',
      () => leaf({ names: [url(`spiffe://${TRUST_DOMAIN}/acme/agent/a`)] }),
    ],
    [
      'the role of an intermediate',
      'wrong-role',
      () => leaf({ names: [url(LAPTOP.replace('agent', 'intermediate'))] }),
    ],
    ['the role of an admin', 'wrong-role', () => leaf({ names: [url(LAPTOP.replace('agent', 'admin'))] })],
    ['own leaf, then the leaf of somebody else', 'chain-order', mixed],
  ])('%s', async (_, code, credentials) => {
    const counted = () => arena.metric('intermediate', 'ztna_handshakes_total', `outcome="${code}"`);
    const [peers, refused] = [arena.stack.intermediate.stats().peers, await counted()];
    expect(await attempt(await credentials())).toMatchObject({
      kind: 'peer',
      reason: `certificate refused: ${code}`,
    });
    expect(await counted()).toBe(refused + 1);
    expect(arena.stack.intermediate.stats().peers).toBe(peers);
    await arena.unharmed();
  });
});

test('what comes in the flight that ends the handshake is not looked at before the certificate', async () => {
  const malformed = () => arena.metric('intermediate', 'ztna_core_events_total', 'malformed');
  const before = await malformed();
  const endpoint = endpointOf(await leaf({ names: null }), bundle());
  const connection = await endpoint.connect({ remote: arena.target, alpn: [ALPN.CONTROL] });
  connection.accept();
  const stream = await connection.openBi();
  stream.write(new Uint8Array(2_000).fill(0xff)).catch(() => {});
  connection.sendDatagram(Uint8Array.of(0x2e, 1, 2, 3));
  expect(await connection.closed).toMatchObject({ reason: 'certificate refused: no-san' });
  expect(await malformed()).toBe(before);
  await endpoint.close();
  // The same bytes from a peer that is let in do count: the check above can fail.
  const peer = await HostilePeer.connect(arena.mallory, arena.target);
  peer.raw(new Uint8Array(2_000).fill(0xff));
  await peer.connection.closed;
  expect(await malformed()).toBe(before + 1);
  await peer[Symbol.asyncDispose]();
  await arena.unharmed();
});

test('a certificate is judged again in every handshake, resumed or not, and revocation kills the ticket', async () => {
  const endpoint = endpointOf(credentialsOf(arena.eve), bundle());
  const connect = () =>
    endpoint.connect({ remote: arena.target, alpn: [ALPN.CONTROL], serverName: 'relay.invalid' });
  const first = await connect();
  first.accept();
  // The ticket comes some time after the handshake.
  const isResumed = async () => {
    const again = await connect();
    again.close();
    return again.resumed;
  };
  await expect.poll(isResumed, { timeout: 10_000 }).toBe(true);
  first.close();
  await arena.publish({ revoked: [arena.eve.id] });
  const third = await connect();
  third.accept();
  expect(await third.closed).toMatchObject({
    kind: 'peer',
    code: 15,
    reason: 'certificate refused: revoked',
  });
  await endpoint.close();
  await arena.publish();
  await arena.unharmed();
});

async function attempt(credentials: Credentials | undefined) {
  const endpoint = endpointOf(credentials, bundle());
  try {
    const fate = await fateOf(endpoint, arena.target);
    return typeof fate === 'string' ? { kind: 'tls', reason: fate } : fate;
  } finally {
    await endpoint.close();
  }
}

/** A leaf of any shape from the authority of the system. */
async function leaf(how: Crafted): Promise<Credentials> {
  const issuing = openPart(join(arena.stack.pki.dir, 'pki'), 'issuing');
  const key = generateKey('p256');
  const shape = {
    names: [url(LAPTOP)],
    notBeforeMs: Date.now() - HOUR,
    notAfterMs: Date.now() + HOUR,
    ...how,
    key,
  };
  return credentials([await crafted(issuing, shape), issuing.certificate], key);
}

async function foreign(): Promise<Credentials> {
  const authority = await createAuthority({
    trustDomain: TRUST_DOMAIN,
    tenant: 'default',
    nowMs: Date.now(),
  });
  const key = generateKey('p256');
  const issued = await issueLeaf(authority.issuing, {
    id: LAPTOP as SpiffeId,
    publicKey: key,
    nowMs: Date.now(),
  });
  if (!issued.ok) throw new Error(issued.error.detail);
  return credentials(issued.value, key);
}

async function mixed(): Promise<Credentials> {
  const own = credentialsOf(arena.mallory);
  const others = await leaf({});
  const [ownLeaf = '', ...above] = pems(own.certChain);
  return { ...own, certChain: [ownLeaf, pems(others.certChain)[0], ...above].join('\n') };
}

function pems(text: string): string[] {
  return text.split(/(?=-----BEGIN)/).filter((block) => block.includes('BEGIN'));
}

function credentials(chain: readonly Uint8Array[], key: ReturnType<typeof generateKey>): Credentials {
  return {
    certChain: chain.map((der) => toPem('CERTIFICATE', der)).join(''),
    privateKey: key.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

function bundle(): string {
  return arena.mallory.files.trust.bundleFile;
}
