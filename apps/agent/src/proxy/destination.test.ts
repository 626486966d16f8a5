import { expect, test } from 'vitest';
import { resolveHost } from './destination.ts';

test.each([
  ['web.ztna.internal', 'web'],
  ['WEB.Ztna.Internal.', 'web'],
  ['a.b.ztna.internal', 'a.b'],
])('%s is the service %s', (host, service) => {
  expect(resolveHost(host, 'ztna.internal')).toEqual({ ok: true, service });
});

test.each([
  'ztna.internal',
  '.ztna.internal',
  'webztna.internal',
  'web.ztna.internal.example.com',
  'example.com',
  '127.0.0.1',
  '::1',
  '127.0.0.1.',
  'we_b.ztna.internal',
  '-.ztna.internal',
  '',
])('%s is refused', (host) => {
  expect(resolveHost(host, 'ztna.internal')).toMatchObject({ ok: false, reason: expect.any(String) });
});
