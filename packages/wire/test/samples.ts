import type { ControlMessage } from '../src/control.ts';
import { wireError } from '../src/errors.ts';
import type { FlowOpen } from '../src/flow.ts';
import { encodeGrant, type Grant, type SignedGrant } from '../src/grant.ts';
import {
  parseComponentName,
  parseFlowId,
  parseKeyThumbprint,
  parseRelayId,
  parseRevision,
  parseServiceName,
  parseSessionUid,
  parseSubjectName,
  parseTenantName,
  parseTraceId,
  parseTrustDomain,
} from '../src/ids.ts';
import type { PathHello } from '../src/path.ts';
import type { Result } from '../src/result.ts';
import type { Snapshot } from '../src/snapshot.ts';
import { parseSpiffeId } from '../src/spiffe.ts';

/** One valid value of each message, for tests and for making vectors. Not exported by the package. */

export function must<T>(result: Result<T>): T {
  if (!result.ok) throw new Error(`${result.error.kind} ${result.error.field}: ${result.error.detail}`);
  return result.value;
}

export const agent = must(parseSpiffeId('spiffe://example.test/default/agent/laptop-1'));
export const connector = must(parseSpiffeId('spiffe://example.test/default/connector/paris/c1'));
export const intermediate = must(parseSpiffeId('spiffe://example.test/default/intermediate/i1'));
export const tenant = must(parseTenantName('default'));
export const web = must(parseServiceName('web'));
export const dns = must(parseServiceName('dns.internal'));
export const alice = must(parseSubjectName('alice@example.test'));
export const sessionUid = must(parseSessionUid('000102030405060708090a0b0c0d0e0f'));
const relayId = must(parseRelayId(77));
const revision = must(parseRevision(42));
const i2 = must(parseComponentName('i2'));

export const grant: Grant = {
  tenant,
  sessionUid,
  agent,
  connector,
  issuer: intermediate,
  agentKey: must(parseKeyThumbprint('ab'.repeat(32))),
  subject: alice,
  services: [web, dns],
  policyRevision: revision,
  notBeforeMs: 1_790_000_000_000,
  notAfterMs: 1_790_000_600_000,
  requiredFeatures: [],
};

/** The signature and certificate are placeholders: their meaning is not this package's. */
export const signedGrant: SignedGrant = {
  grant: encodeGrant(grant),
  signature: new Uint8Array(64).fill(0x5a),
  issuerChain: [Uint8Array.of(0x30, 0x03, 0x02, 0x01, 0x01)],
};

export const controlMessages: readonly ControlMessage[] = [
  {
    type: 'hello',
    versions: [2],
    features: ['attach-path', 'fragments'],
    tenant,
    timeMs: 1_790_000_000_123,
    instance: 0x0123_4567_89ab_cdefn,
    software: 'ztna 0.1.0',
    revision,
  },
  { type: 'register', services: [web, dns], capacity: 1000, labels: new Map([['region', 'eu-west-3']]) },
  { type: 'registered', services: [web], refused: [dns] },
  { type: 'openSession', requestId: 7, service: web, excludeConnectors: [connector] },
  {
    type: 'sessionOffer',
    requestId: 7,
    sessionUid,
    relayId,
    peer: connector,
    grant: signedGrant,
    attach: false,
  },
  { type: 'sessionAnswer', sessionUid, relayId },
  {
    type: 'sessionAnswer',
    sessionUid,
    relayId,
    error: wireError('limit', 'the connector holds 1000 sessions: try another'),
  },
  { type: 'attachPath', requestId: 8, sessionUid, grant: signedGrant },
  { type: 'extendGrant', requestId: 9, sessionUid, services: [dns] },
  { type: 'grantUpdate', requestId: 9, sessionUid, grant: signedGrant },
  { type: 'closeSession', sessionUid },
  { type: 'closeSession', sessionUid, reason: wireError('revoked', 'the agent is revoked') },
  { type: 'goAway', deadlineMs: 30_000, alternatives: [i2], reason: 'upgrade' },
  { type: 'error', error: wireError('unknown-service', 'no service of this name: check it', 7) },
  { type: 'goodbye', reason: 'shutting down' },
];

const traceId = must(parseTraceId('4bf92f3577b34da6a3ce929d0e0e4736'));
export const flowOpens: readonly FlowOpen[] = [
  { protocol: 'tcp', service: web, port: 443, subject: alice, traceId },
  { protocol: 'udp', service: dns, port: 53, subject: alice, traceId, flowId: must(parseFlowId(300)) },
];

const common = {
  trustDomain: must(parseTrustDomain('example.test')),
  tenant,
  epoch: 1,
  revision,
  issuedAtMs: 1_790_000_000_000,
  expiresAtMs: 1_790_086_400_000,
  requiredFeatures: [],
};
const entry = {
  name: must(parseComponentName('i1')),
  id: intermediate,
  addresses: [
    { host: 'relay.example.test', port: 4433 },
    { host: '2001:db8::1', port: 4433 },
  ],
};
const shared = {
  intermediates: [entry],
  revoked: [must(parseSpiffeId('spiffe://example.test/default/agent/lost'))],
};
const rules = [
  {
    name: 'People reach the web',
    principals: [{ agent, subject: alice }],
    services: [web],
    direct: 'allow' as const,
  },
];

export const snapshots: readonly Snapshot[] = [
  {
    ...common,
    audience: agent,
    content: {
      role: 'agent',
      ...shared,
      services: [
        { name: web, ports: [{ transport: 'tcp', port: 443 }], connectors: [connector], direct: 'allow' },
      ],
      subject: alice,
    },
  },
  {
    ...common,
    audience: connector,
    content: {
      role: 'connector',
      ...shared,
      services: [
        {
          name: web,
          targets: [
            { transport: 'tcp', port: 443, backend: { host: '127.0.0.1', port: 8443 }, allowLocal: true },
          ],
          direct: 'allow',
        },
      ],
      rules,
      showPrivateAddresses: false,
    },
  },
  {
    ...common,
    audience: intermediate,
    content: { role: 'intermediate', ...shared, services: [{ name: web, connectors: [connector] }], rules },
  },
];

/** What older components must refuse: conditions on paths. */
export const directSnapshots: readonly Snapshot[] = [
  {
    ...common,
    audience: agent,
    content: {
      role: 'agent',
      ...shared,
      services: [
        { name: web, ports: [], connectors: [connector], direct: 'require' },
        { name: dns, ports: [], connectors: [connector], direct: 'deny' },
      ],
      subject: alice,
    },
  },
  {
    ...common,
    audience: connector,
    content: {
      role: 'connector',
      ...shared,
      services: [{ name: web, targets: [], direct: 'require' }],
      rules: [{ name: 'relayed', principals: [{ agent, subject: alice }], services: [web], direct: 'deny' }],
      showPrivateAddresses: true,
    },
  },
];

export const pathHellos: readonly PathHello[] = [
  { nat: 'unknown', directAllowed: false, candidates: 0 },
  { nat: 'none', directAllowed: true, candidates: 16 },
  { nat: 'endpoint-independent', directAllowed: true, candidates: 3 },
  { nat: 'destination-dependent', directAllowed: true, candidates: 1 },
];
