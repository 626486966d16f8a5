import fc from 'fast-check';
import { expect, test } from 'vitest';
import { formatEndpoint, formatIp, parseIp, reachOf, sameAddress } from './address.ts';

test.each([
  ['192.168.1.1', '192.168.1.1'],
  ['::ffff:192.168.1.1', '192.168.1.1'],
  ['2001:DB8:0:0:1::1', '2001:db8::1:0:0:1'],
  ['::', '::'],
  ['::1', '::1'],
  ['fe80::1%eth0', 'fe80::1'],
  ['1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7:8'],
  ['1:0:0:2:0:0:0:3', '1:0:0:2::3'],
])('%s reads as %s', (text, meant) => {
  const ip = parseIp(text);

  expect(ip && formatIp(ip)).toBe(meant);
});

test.each([
  ...['', '1.2.3', '1.2.3.256', '01.2.3.4', '1.2.3.4%eth0', '1.2.3.4.5', 'localhost', '0x7f.1'],
  ...[
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '::12345',
    ':::',
    '1.2.3.4::',
    'g::',
    '1:2:3:4:5:6:7::8',
  ],
])('%s is no address', (text) => {
  expect(parseIp(text)).toBeUndefined();
});

test('what is formatted is read again', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (ip) => {
      expect(parseIp(formatIp(ip))).toEqual(ip);
    }),
  );
});

test.each([
  ['8.8.8.8', 'public'],
  ['203.0.113.5', 'public'],
  ['2001:db8::1', 'public'],
  ['10.0.0.1', 'private'],
  ['172.31.0.1', 'private'],
  ['172.32.0.1', 'public'],
  ['192.168.255.1', 'private'],
  ['100.64.0.1', 'private'],
  ['100.128.0.1', 'public'],
  ['169.254.0.1', 'private'],
  ['192.0.0.2', 'private'],
  ['198.19.0.1', 'private'],
  ['fd00::1', 'private'],
  ['fe80::1', 'private'],
  ['0.0.0.0', 'unusable'],
  ['127.0.0.1', 'unusable'],
  ['224.0.0.1', 'unusable'],
  ['255.255.255.255', 'unusable'],
  ['::', 'unusable'],
  ['::1', 'unusable'],
  ['ff02::1', 'unusable'],
])('%s is %s', (text, reach) => {
  expect(reachOf(parseIp(text) ?? new Uint8Array(16))).toBe(reach);
});

test('addresses are compared by what they mean', () => {
  expect(sameAddress('::ffff:10.0.0.1', '10.0.0.1')).toBe(true);
  expect(sameAddress('fe80::1%eth0', 'fe80::1')).toBe(true);
  expect(sameAddress('10.0.0.1', '10.0.0.2')).toBe(false);
  expect(sameAddress('gateway', 'gateway')).toBe(false);
  expect(formatEndpoint({ address: '2001:db8::1', port: 1 })).toBe('[2001:db8::1]:1');
});
