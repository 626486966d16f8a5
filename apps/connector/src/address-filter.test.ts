import { expect, it } from 'vitest';
import { forbids } from './address-filter.ts';

const judge = (ip: string, allowLocal: boolean, port = 80) =>
  forbids(ip, port, { allowLocal, ownPorts: [9091], ownAddresses: () => ['10.0.0.5', 'fe80::1%eth0'] });

const LOCAL = {
  loopback: [
    ...['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1', '::ffff:7f00:1', '0:0:0:0:0:0:0:1'],
    ...['::127.0.0.1', '::ffff:0:127.0.0.1', '64:ff9b::127.0.0.1', '2002:7f00:1::'],
  ],
  'link-local': [
    ...['169.254.169.254', 'fe80::1', 'febf::1', 'fe80::1%eth0', '::ffff:169.254.169.254'],
    ...['64:ff9b::a9fe:a9fe', '64:ff9b:1::169.254.169.254', '2002:a9fe:a9fe::1', '::169.254.169.254'],
    'fd00:ec2::254',
  ],
} as const;

const NEVER = {
  unspecified: ['0.0.0.0', '0.1.2.3', '::', '::ffff:0.0.0.0', '64:ff9b::', '::2', 'not an address'],
  multicast: ['224.0.0.1', '239.255.255.250', '255.255.255.255', 'ff02::1', '::ffff:224.0.0.1'],
} as const;

for (const [why, addresses] of Object.entries(LOCAL)) {
  it.each(addresses)(`${why}: %s is dialled with allowLocal alone`, (ip) => {
    expect(judge(ip, false)).toBe(why);
    expect(judge(ip, true)).toBeUndefined();
  });
}

for (const [why, addresses] of Object.entries(NEVER)) {
  it.each(addresses)(`${why}: %s is never dialled`, (ip) => {
    expect(judge(ip, false)).toBe(why);
    expect(judge(ip, true)).toBe(why);
  });
}

it.each([
  '10.0.0.6',
  '192.168.1.1',
  '8.8.8.8',
  '2001:db8::1',
  'fd00::1',
  '::ffff:10.1.2.3',
  '64:ff9b::8.8.8.8',
])('%s is dialled', (ip) => expect(judge(ip, false)).toBeUndefined());

it("the connector's own listeners need allowLocal, other ports of the machine do not", () => {
  expect(judge('10.0.0.5', false, 9091)).toBe('own-listener');
  expect(judge('::ffff:10.0.0.5', false, 9091)).toBe('own-listener');
  expect(judge('10.0.0.5', true, 9091)).toBeUndefined();
  expect(judge('10.0.0.5', false, 80)).toBeUndefined();
});

it('while the system does not tell its addresses, whatever has a port of an own listener may be one', () => {
  const ownAddresses = () => {
    throw Object.assign(new Error('too many open files'), { code: 'EMFILE' });
  };
  const options = { ownPorts: [9091], ownAddresses };
  expect(forbids('10.0.0.5', 9091, { ...options, allowLocal: false })).toBe('own-listener');
  expect(forbids('10.0.0.5', 9091, { ...options, allowLocal: true })).toBeUndefined();
  expect(forbids('10.0.0.5', 80, { ...options, allowLocal: false })).toBeUndefined();
});
