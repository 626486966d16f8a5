import { describe, expect, test } from 'vitest';
import { agent, connector, grant, intermediate, must, snapshots, web } from '../test/samples.ts';
import { decodeGrant, encodeGrant, type Grant } from './grant.ts';
import { decodeSnapshot, encodeSnapshot, type Snapshot } from './snapshot.ts';
import { parseSpiffeId } from './spiffe.ts';

const foreignTenant = must(parseSpiffeId('spiffe://example.test/other/agent/laptop-1'));
const foreignDomain = must(parseSpiffeId('spiffe://evil.test/default/connector/paris/c1'));

describe('a grant is refused', () => {
  const cases: [string, Partial<Grant>, string][] = [
    ['for an agent of another tenant', { agent: foreignTenant }, 'grant.agent'],
    ['for a connector of another trust domain', { connector: foreignDomain }, 'grant.connector'],
    ['when a connector stands as the agent', { agent: connector }, 'grant.agent'],
    ['when an agent issued it', { issuer: agent }, 'grant.issuer'],
    ['without services', { services: [] }, 'grant.services'],
    ['with a service twice', { services: [web, web] }, 'grant.services'],
    ['that is never valid', { notAfterMs: grant.notBeforeMs }, 'grant.not_after_ms'],
    ['with a required feature that is not known', { requiredFeatures: ['x'] }, 'grant.required_features[0]'],
  ];
  test.each(cases)('%s', (_name, change, field) => {
    expect(decodeGrant(encodeGrant({ ...grant, ...change }))).toMatchObject({ ok: false, error: { field } });
  });

  test('not for a required feature that is known', () => {
    const bytes = encodeGrant({ ...grant, requiredFeatures: ['posture'] });
    expect(decodeGrant(bytes, new Set(['posture'])).ok).toBe(true);
    expect(decodeGrant(bytes)).toMatchObject({ error: { kind: 'unknown-feature' } });
  });
});

describe('a snapshot is refused', () => {
  const forConnector = sample(1);
  if (forConnector.content.role !== 'connector') throw new Error('sample');
  const content = forConnector.content;
  const [service] = content.services;
  const [target] = service?.targets ?? [];
  const [rule] = content.rules;
  if (service === undefined || target === undefined || rule === undefined) throw new Error('sample');

  const cases: [string, Partial<Snapshot>][] = [
    ['for an audience of another role', { audience: intermediate }],
    ['for an audience of another trust domain', { audience: foreignDomain }],
    ['at revision 0', { revision: 0 as Snapshot['revision'] }],
    ['that expires before it is issued', { expiresAtMs: forConnector.issuedAtMs }],
    ['with an unknown required feature', { requiredFeatures: ['posture'] }],
    ['with a service twice', { content: { ...content, services: [service, service] } }],
    ['with a port twice', { content: { ...content, services: [{ ...service, targets: [target, target] }] } }],
    [
      'with a rule for an agent of another tenant',
      {
        content: {
          ...content,
          rules: [{ ...rule, principals: rule.principals.map((one) => ({ ...one, agent: foreignTenant })) }],
        },
      },
    ],
    ['that revokes in another tenant', { content: { ...content, revoked: [foreignTenant] } }],
  ];
  test.each(cases)('%s', (_name, change) => {
    expect(decodeSnapshot(encodeSnapshot({ ...forConnector, ...change })).ok).toBe(false);
  });

  test('not when its lists are empty: they allow nothing', () => {
    const empty = { ...content, intermediates: [], services: [], rules: [], revoked: [] };
    expect(decodeSnapshot(encodeSnapshot({ ...forConnector, content: empty }))).toEqual({
      ok: true,
      value: { ...forConnector, content: empty },
    });
  });
});

function sample(index: number): Snapshot {
  const snapshot = snapshots[index];
  if (snapshot === undefined) throw new Error('no sample');
  return snapshot;
}
