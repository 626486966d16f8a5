import { isRevoked } from '@ztna/policy';
import {
  type KeyThumbprint,
  keyThumbprintFromBytes,
  parseSpiffeId,
  type Result,
  type Role,
  type SpiffeId,
  spiffeParts,
  type TenantName,
} from '@ztna/wire';
import { type AltName, type Certificate, keyThumbprint, readCertificate } from '../certificate.ts';
import { type PeerRefusal, refuse } from './refusal.ts';
import { checkChain, MAX_CHAIN_LENGTH, type TrustBundle } from './trust.ts';

/** Who the peer is, as its leaf certificate alone says. */
export interface PeerIdentity {
  readonly id: SpiffeId;
  readonly tenant: TenantName;
  readonly role: Role;
  readonly keyThumbprint: KeyThumbprint;
  /** Lower-case hexadecimal. */
  readonly serial: string;
  /** Serials of the authorities that it presented, in their order. */
  readonly authorities: readonly string[];
  /** Until when all that it presented is valid. */
  readonly notAfterMs: number;
}

/** What a peer must be. */
export interface PeerExpectation {
  readonly trust: TrustBundle;
  readonly trustDomain: string;
  readonly tenant: string;
  readonly roles: readonly Role[];
  /** SPIFFE ids, `serial:<hex>`, `key:<hex>`. */
  readonly revoked: readonly string[];
}

/**
 * Decides who a peer is from the chain that it presented (DER, leaf first), after every handshake, resumed or
 * not: a TLS stack that resumes hands over the stored chain without looking at it again (design §3).
 * The identity comes from the leaf, and the chain must lead from that leaf to a root of the bundle.
 * Nothing falls back to "allowed". `nowMs`: milliseconds since the Unix epoch.
 */
export function verifyPeer(
  chain: readonly Uint8Array[],
  nowMs: number,
  expected: PeerExpectation,
): Result<PeerIdentity, PeerRefusal> {
  if (chain.length === 0) return refuse('no-certificate', 'the peer presented no certificate');
  if (chain.length > MAX_CHAIN_LENGTH) {
    return refuse('malformed-certificate', `more than ${MAX_CHAIN_LENGTH} certificates`);
  }
  const certificates: Certificate[] = [];
  for (const [depth, der] of chain.entries()) {
    const certificate = readCertificate(der);
    if (certificate === undefined) return refuse('malformed-certificate', `certificate ${depth} is not DER`);
    certificates.push(certificate);
  }
  const [leaf] = certificates;
  if (leaf === undefined) return refuse('no-certificate', 'the peer presented no certificate');
  if (leaf.isCa) return refuse('chain-order', 'the first certificate is an authority, not a leaf');
  const broken = checkChain(certificates, expected.trust, nowMs) ?? checkUsage(leaf);
  if (broken !== undefined) return { ok: false, error: broken };
  return identify(leaf, certificates, expected);
}

/**
 * Judges a peer again that `verifyPeer` let in: time passes and lists of revocations grow while a connection lives.
 * Cheap enough for every connection at every reload. Undefined: it may stay. Says nothing of a changed trust bundle.
 */
export function reviewPeer(
  peer: PeerIdentity,
  nowMs: number,
  revoked: readonly string[],
): PeerRefusal | undefined {
  const { id, serial, keyThumbprint, authorities, notAfterMs } = peer;
  if (nowMs >= notAfterMs + 1000) {
    return refuse('expired', `${id} was valid until ${new Date(notAfterMs).toISOString()}`).error;
  }
  const above = authorities.find((authority) => isRevoked(revoked, { serial: authority }));
  if (above !== undefined) return refuse('revoked', `authority with serial ${above} above ${id}`).error;
  return isRevoked(revoked, { id, serial, keyThumbprint }) ? refuse('revoked', id).error : undefined;
}

function identify(
  leaf: Certificate,
  chain: readonly Certificate[],
  expected: PeerExpectation,
): Result<PeerIdentity, PeerRefusal> {
  const id = readId(leaf.altNames);
  if (!id.ok) return id;
  const parts = spiffeParts(id.value);
  if (parts.trustDomain !== expected.trustDomain) {
    return refuse('foreign-domain', `${id.value} is not of trust domain ${expected.trustDomain}`);
  }
  if (parts.tenant !== expected.tenant) {
    return refuse('foreign-tenant', `${id.value} is not of tenant ${expected.tenant}`);
  }
  if (!expected.roles.includes(parts.role)) {
    return refuse('wrong-role', `${id.value} is none of: ${expected.roles.join(', ')}`);
  }
  const thumbprint = keyThumbprintFromBytes(keyThumbprint(leaf));
  if (!thumbprint.ok) return refuse('malformed-certificate', thumbprint.error.detail);
  for (const [depth, { serial }] of chain.entries()) {
    const names = depth === 0 ? { id: id.value, serial, keyThumbprint: thumbprint.value } : { serial };
    if (isRevoked(expected.revoked, names)) {
      return refuse('revoked', depth === 0 ? id.value : `authority with serial ${serial} above ${id.value}`);
    }
  }
  return {
    ok: true,
    value: {
      id: id.value,
      tenant: parts.tenant,
      role: parts.role,
      keyThumbprint: thumbprint.value,
      serial: leaf.serial,
      authorities: chain.slice(1).map(({ serial }) => serial),
      notAfterMs: Math.min(...chain.map(({ notAfterMs }) => notAfterMs)),
    },
  };
}

function readId(names: readonly AltName[] | undefined): Result<SpiffeId, PeerRefusal> {
  const [name] = names ?? [];
  if (names === undefined || name === undefined) return refuse('no-san', 'the leaf names nobody');
  const foreign = names.find((candidate) => candidate.kind !== 'uri');
  if (foreign !== undefined) return refuse('foreign-san', `the leaf has a name of kind ${foreign.kind}`);
  if (names.length > 1) return refuse('multiple-sans', `the leaf has ${names.length} names`);
  const id = parseSpiffeId(name.kind === 'uri' ? name.value : '');
  return id.ok ? id : refuse('malformed-id', id.error.detail);
}

const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';

function checkUsage(leaf: Certificate): PeerRefusal | undefined {
  const wrong = (why: string) => refuse('wrong-usage', why).error;
  if (leaf.unknownCritical.length > 0) {
    return wrong(`the leaf has critical extensions that are not known: ${leaf.unknownCritical.join(', ')}`);
  }
  if (leaf.keyUsage?.digitalSignature !== true) return wrong('the leaf may not sign (key usage)');
  if (leaf.keyUsage.keyCertSign) return wrong('the leaf may sign certificates (key usage)');
  const usages = leaf.extendedKeyUsage ?? [];
  if (!usages.includes(CLIENT_AUTH) || !usages.includes(SERVER_AUTH)) {
    return wrong('the leaf lacks extended key usage clientAuth and serverAuth');
  }
  return undefined;
}
