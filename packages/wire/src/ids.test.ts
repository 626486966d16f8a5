import { describe, expect, test } from 'vitest';
import { formatHostPort, parseHostPort } from './host-port.ts';
import { parseFlowId, parseRelayId, parseRevision, parseServiceName, parseSubjectName } from './ids.ts';
import { formatSpiffeId, parseSpiffeId, spiffeParts } from './spiffe.ts';

const TD = 'spiffe://example.test';

describe('SPIFFE ids', () => {
  test.each([
    [`${TD}/default/agent/laptop-1`, 'agent', undefined, 'laptop-1'],
    [`${TD}/default/connector/paris/c_1.x`, 'connector', 'paris', 'c_1.x'],
    [`${TD}/T.2/intermediate/i1`, 'intermediate', undefined, 'i1'],
    [`${TD}/default/admin/a`, 'admin', undefined, 'a'],
  ])('%s is parsed and formatted', (uri, role, site, name) => {
    const id = parseSpiffeId(uri);
    if (!id.ok) throw new Error(id.error.detail);
    const parts = spiffeParts(id.value);
    expect(parts).toMatchObject({ trustDomain: 'example.test', role, name });
    expect(parts.site).toBe(site);
    expect(formatSpiffeId(parts)).toBe(uri);
  });

  test.each([
    '',
    'spiffe://',
    TD,
    `${TD}/`,
    `${TD}/default`,
    `${TD}/default/agent`,
    `${TD}/default/agent/`,
    `${TD}/default/agent/a/`,
    `${TD}/default/agent/a/b`,
    `${TD}/default//agent/a`,
    `${TD}//agent/a`,
    `${TD}/default/connector/c1`,
    `${TD}/default/connector/s/c1/x`,
    `${TD}/default/connector//c1`,
    `${TD}/default/backend/b`,
    `${TD}/default/Agent/a`,
    `${TD}/default/agent/..`,
    `${TD}/./agent/a`,
    `${TD}/default/agent/a%2fb`,
    `${TD}/default/agent/a b`,
    `${TD}/default/agent/a?x`,
    `${TD}/default/agent/a#x`,
    `${TD}/default/agent/a\n`,
    `${TD}/default/agent/é`,
    `${TD}/default/agent/${'a'.repeat(64)}`,
    `SPIFFE://example.test/default/agent/a`,
    `https://example.test/default/agent/a`,
    `spiffe://Example.test/default/agent/a`,
    `spiffe://example.test:443/default/agent/a`,
    `spiffe://user@example.test/default/agent/a`,
    `spiffe:///default/agent/a`,
    `spiffe://-x/default/agent/a`,
    `spiffe://${'a'.repeat(256)}/default/agent/a`,
    `${TD}/default/agent/${'a/'.repeat(2000)}`,
  ])('%j is refused', (uri) => {
    expect(parseSpiffeId(uri).ok).toBe(false);
  });
});

test.each(['web', 'a', 'db.prod', 'x-1', 'a'.repeat(63)])('service %s is accepted', (name) => {
  expect(parseServiceName(name)).toEqual({ ok: true, value: name });
});

test.each(['', 'Web', '-a', 'a-', 'a..b', '.a', 'a.', 'a_b', 'web\n', 'a'.repeat(64), `${'a.'.repeat(64)}a`])(
  'service %j is refused',
  (name) => {
    expect(parseServiceName(name).ok).toBe(false);
  },
);

test.each(['', 'a b', 'a\n', 'é', 'a'.repeat(256)])('subject %j is refused', (name) => {
  expect(parseSubjectName(name).ok).toBe(false);
});

test.each([0, -1, 1.5, 2 ** 30, Number.NaN])('relay id and flow id %d are refused', (id) => {
  expect(parseRelayId(id).ok).toBe(false);
  expect(parseFlowId(id).ok).toBe(false);
});

test('revisions begin at 0, which means none', () => {
  expect(parseRevision(0).ok).toBe(true);
  expect(parseRevision(-1).ok).toBe(false);
  expect(parseRevision(2 ** 53).ok).toBe(false);
});

test.each([
  ['relay.example.test:4433', 'relay.example.test', 4433],
  ['127.0.0.1:1', '127.0.0.1', 1],
  ['[2001:db8::1]:65535', '2001:db8::1', 65_535],
])('%s is an address', (text, host, port) => {
  const parsed = parseHostPort(text);
  expect(parsed).toEqual({ ok: true, value: { host, port } });
  if (parsed.ok) expect(formatHostPort(parsed.value)).toBe(text);
});

test.each([
  '',
  'host',
  'host:',
  ':1',
  'host:0',
  'host:65536',
  'host:01',
  '::1:80',
  '[::1]',
  '[x]:1',
  'a b:1',
  'a..b:1',
])('%j is no address', (text) => {
  expect(parseHostPort(text).ok).toBe(false);
});
