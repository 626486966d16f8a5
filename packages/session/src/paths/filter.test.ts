import { BlockList, isIPv6 } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AddressFilter, matchesAny, refusedRanges } from './filter.ts';
import { formatIp, formatSocketAddress, parseIp, parseRange, parseSocketAddress } from './ip.ts';

const OPTIONS = { allowLoopback: false, virtualRanges: ['100.64.0.0/10', 'fd5a:1:2::/48'] };
const anyIp = fc.oneof(
  fc.ipV4(),
  fc.ipV6(),
  fc.ipV4().map((ip) => `::ffff:${ip}`),
);

describe('addresses', () => {
  it.each([
    ['192.0.2.1', '192.0.2.1'],
    ['2001:DB8::1', '2001:db8::1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['::', '::'],
    ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
    ['::ffff:10.0.0.1', '10.0.0.1'],
    ['::ffff:a00:1', '10.0.0.1'],
    ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
  ])('%s is %s', (text, plain) => {
    const ip = parseIp(text);
    expect(ip && formatIp(ip)).toBe(plain);
  });

  it.each([
    ...['', '1.2.3', '1.2.3.256', '01.2.3.4', '1.2.3.4.5', ' 1.2.3.4', '0x7f.0.0.1', '2130706433'],
    ...[
      ':',
      ':::',
      '1::2::3',
      '1:2:3:4:5:6:7',
      '1:2:3:4:5:6:7:8:9',
      '12345::',
      'fe80::1%eth0',
      '::1.2.3',
      '[::1]',
    ],
  ])('%j is none', (text) => {
    expect(parseIp(text)).toBeUndefined();
  });

  it.each(['1.2.3.4', '1.2.3.4:0', '1.2.3.4:65536', '::1:80', '[::1]', '[1.2.3.4]x:80', 'host:80', ':80'])(
    '%j is no address with a port',
    (text) => {
      expect(parseSocketAddress(text)).toBeUndefined();
    },
  );

  it('any address comes back from its text, and any text is an address or none', () => {
    fc.assert(
      fc.property(anyIp, fc.integer({ min: 1, max: 65535 }), (text, port) => {
        const ip = parseIp(text);
        expect(ip, text).toBeDefined();
        if (!ip) return;
        expect(parseIp(formatIp(ip))).toEqual(ip);
        expect(parseSocketAddress(formatSocketAddress({ ip, port }))).toEqual({ ip, port });
      }),
    );
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'0123456789abf:.[]%') }), (s) => void parseIp(s)),
    );
  });
});

describe('the filter', () => {
  const filter = new AddressFilter(OPTIONS);
  const why = (text: string, allowPrivate = true, of = filter) => {
    const ip = parseIp(text);
    return ip && of.refuses(ip, { allowPrivate });
  };

  it.each([
    ['unspecified', ['0.0.0.0', '0.1.2.3', '::', '::ffff:0.0.0.0']],
    ['loopback', ['127.0.0.1', '127.255.255.254', '::1', '::ffff:127.0.0.1', '::ffff:7f00:1']],
    ['link-local', ['169.254.169.254', 'fe80::1', 'febf::1', 'fd00:ec2::254']],
    ['multicast', ['224.0.0.1', '239.255.255.250', 'ff02::1']],
    ['broadcast', ['255.255.255.255']],
    ['reserved', ['240.0.0.1', '192.0.0.8', 'fec0::1']],
    ['transition', ['::10.0.0.1', '2002:7f00:1::', '2001:0:1::1', '64:ff9b::7f00:1']],
    ['virtual', ['100.64.0.1', '100.127.255.254', 'fd5a:1:2::7']],
  ])('refuses what is %s, whatever else is allowed', (reason, addresses) => {
    for (const address of addresses) expect(why(address), address).toBe(reason);
  });

  it.each([
    '8.8.8.8',
    '100.63.255.255',
    '100.128.0.0',
    '203.0.113.9',
    '2a00::1',
    '2001:db8::1',
    'fd5a:1:3::1',
  ])('lets %s pass', (address) => {
    expect(why(address)).toBeUndefined();
  });

  it.each(['10.0.0.1', '172.16.0.1', '172.31.255.254', '192.168.1.1', 'fc00::1', 'fd12::1'])(
    'refuses the private %s where private ones are not allowed',
    (address) => {
      expect(why(address)).toBeUndefined();
      expect(why(address, false)).toBe('private');
    },
  );

  it('refuses loopback unless a test asks for it, and then nothing else', () => {
    const open = new AddressFilter({ ...OPTIONS, allowLoopback: true });
    expect([why('127.0.0.1', true, open), why('::1', true, open)]).toEqual([undefined, undefined]);
    expect([why('0.0.0.0', true, open), why('::', true, open)]).toEqual(['unspecified', 'unspecified']);
  });

  it('refuses what lies behind interfaces that are left out, and broadcasts of all', () => {
    const local = new AddressFilter(OPTIONS);
    local.setSubnets(['172.17.0.1/16', '10.0.0.1/0'].map(parseRange), [parseRange('192.168.1.7/24')]);
    expect(why('172.17.0.9', true, local)).toBe('inner-interface');
    expect(why('192.168.1.255', true, local)).toBe('broadcast');
    expect(why('192.168.2.255', true, local)).toBeUndefined();
    expect(why('192.168.1.8', true, local)).toBeUndefined();
    expect(why('8.8.8.8', true, local), 'an interface that claims everything').toBeUndefined();
  });

  it('gives the engine ranges that say the same', () => {
    for (const allowPrivate of [true, false]) {
      const list = new BlockList();
      for (const range of refusedRanges({ ...OPTIONS, allowPrivate })) {
        const [net = '', bits] = range.split('/');
        list.addSubnet(net, Number(bits), isIPv6(net) ? 'ipv6' : 'ipv4');
      }
      fc.assert(
        fc.property(anyIp, (text) => {
          const ip = parseIp(text);
          if (!ip) throw new Error(text);
          const plain = formatIp(ip);
          const refused = filter.refuses(ip, { allowPrivate }) !== undefined;
          expect(list.check(plain, ip.family === 6 ? 'ipv6' : 'ipv4'), plain).toBe(refused);
        }),
        { numRuns: 500 },
      );
    }
  });
});

describe('interface patterns', () => {
  it.each([
    ['docker0', ['docker*'], true],
    ['mydocker0', ['docker*'], false],
    ['eth0', ['*'], true],
    ['eth0', [], false],
    ['br-1a2b', ['br-*'], true],
    ['br0', ['br-*'], false],
    ['wg0', ['w?0'], false],
    ['abc', ['*b*'], true],
    ['abc', ['*bd*', 'a*c'], true],
    ['', ['*'], true],
  ])('%s in %j: %s', (name, patterns, wanted) => {
    expect(matchesAny(name, patterns)).toBe(wanted);
  });

  it('many stars take no longer than they should', () => {
    expect(matchesAny('a'.repeat(20_000), ['*a*a*a*a*a*a*a*a*b'])).toBe(false);
  });
});
