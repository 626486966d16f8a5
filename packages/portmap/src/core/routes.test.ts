import { expect, test } from 'vitest';
import { readLinuxRoutes4, readLinuxRoutes6, readMacRoute } from './routes.ts';

const header4 = 'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n';

test('the IPv4 gateway is the one of the least metric', () => {
  const table = `${header4}wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0
eth0\t00000000\tFE02000A\t0003\t0\t0\t100\t00000000\t0\t0\t0
eth0\t0002000A\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0
tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0
tun0\t00000000\t010012AC\t0003\t0\t0\t0\t00000080\t0\t0\t0
down0\t00000000\t010012AC\t0002\t0\t0\t0\t00000000\t0\t0\t0
`;

  expect(readLinuxRoutes4(table)).toEqual({ address: '10.0.2.254', interface: 'eth0' });
  expect(readLinuxRoutes4(header4)).toBeUndefined();
  expect(readLinuxRoutes4('')).toBeUndefined();
});

test('the IPv6 gateway carries its zone', () => {
  const zeros = '0'.repeat(32);
  const table = `20010db8000000000000000000000000 40 ${zeros} 00 ${zeros} 00000100 00000001 00000000 00000001     eth0
${zeros} 00 ${zeros} 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth0
${zeros} 00 ${zeros} 00 ${zeros} ffffffff 00000001 00000000 00200200       lo
`;

  expect(readLinuxRoutes6(table)).toEqual({ address: 'fe80::1%eth0', interface: 'eth0' });
  expect(readLinuxRoutes6('')).toBeUndefined();
});

test("macOS's default route", () => {
  const text =
    '   route to: default\ndestination: default\n       mask: default\n    gateway: 192.168.1.1\n  interface: en0\n';

  expect(readMacRoute(text)).toEqual({ address: '192.168.1.1', interface: 'en0' });
  expect(readMacRoute(text.replace('192.168.1.1', 'link#4'))).toBeUndefined();
});
