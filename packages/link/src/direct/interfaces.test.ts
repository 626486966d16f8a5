import type { NetworkInterfaceInfo } from 'node:os';
import type { LocalAddress } from '@ztna/session';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { boundAddress, isLoopback, isUnspecified } from './address.ts';
import { addressesOf, InterfaceWatcher } from './interfaces.ts';

type Interfaces = NodeJS.Dict<NetworkInterfaceInfo[]>;

const LO = [info('127.0.0.1/8'), info('::1/128')];
const ETH = [info('192.0.2.7/24'), info('2001:db8::7/64')];

describe('the address of a socket', () => {
  test.each([
    ['0.0.0.0:1', { host: '0.0.0.0', port: 1 }],
    ['[::]:65535', { host: '::', port: 65_535 }],
    ['[2001:db8::1]:4433', { host: '2001:db8::1', port: 4433 }],
  ])('%s', (text, address) => expect(boundAddress(text)).toEqual(address));

  test('is an address', () => expect(() => boundAddress('localhost')).toThrow(TypeError));

  test('may be that of everything, or of this machine alone', () => {
    expect(['0.0.0.0', '::'].every((host) => isUnspecified({ host, port: 1 }))).toBe(true);
    expect(isUnspecified({ host: '192.0.2.7', port: 1 })).toBe(false);
    expect(['127.0.0.2', '::1', '::ffff:127.0.0.1'].every((host) => isLoopback({ host, port: 1 }))).toBe(
      true,
    );
    expect(['0.0.0.0', '::', '10.0.0.1'].some((host) => isLoopback({ host, port: 1 }))).toBe(false);
  });
});

describe('addresses that a socket can send from', () => {
  const all: Interfaces = { lo: LO, eth0: ETH };
  const of = (host: string) => addressesOf(all, { host, port: 1 }).map(({ address }) => address);

  test('are all for one that is bound to everything', () => {
    expect(of('::')).toEqual(['127.0.0.1', '::1', '192.0.2.7', '2001:db8::7']);
  });
  test('are those of IPv4 for an IPv4 socket', () =>
    expect(of('0.0.0.0')).toEqual(['127.0.0.1', '192.0.2.7']));
  test('are the one that it is bound to', () => expect(of('2001:db8::7')).toEqual(['2001:db8::7']));
  test('are none when that one is gone', () => expect(of('192.0.2.8')).toEqual([]));

  test('come with the interface and the length of the prefix', () => {
    expect(addressesOf({ eth0: ETH }, { host: '::', port: 1 })).toEqual([
      { interface: 'eth0', address: '192.0.2.7', prefix: 24 },
      { interface: 'eth0', address: '2001:db8::7', prefix: 64 },
    ]);
    const bare = { ...info('192.0.2.7/24'), cidr: null };
    expect(addressesOf({ eth0: [bare] }, { host: '::', port: 1 })[0]?.prefix).toBe(32);
  });
});

describe('the watcher', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] }));
  afterEach(() => void vi.useRealTimers());

  test('tells addresses at once, and change only when there are others', () => {
    const { network, heard, second } = watch();
    expect(heard.addresses).toEqual([['192.0.2.7', '2001:db8::7']]);
    second();
    expect(heard).toMatchObject({ changes: 0, addresses: { length: 1 } });

    network.now = { eth0: [info('198.51.100.9/24')] };
    second();

    expect(heard.addresses.at(-1)).toEqual(['198.51.100.9']);
    expect(heard.changes).toBe(1);
    second();
    expect(heard.changes).toBe(1);
  });

  test('tells that all are gone, and that they are back', () => {
    const { network, heard, second } = watch();
    network.now = {};
    second();
    network.now = { eth0: ETH };
    second();
    expect(heard.addresses.slice(1)).toEqual([[], ['192.0.2.7', '2001:db8::7']]);
    expect(heard.changes).toBe(2);
  });

  test('beginning without a network, hears of the first', () => {
    const { network, heard, second } = watch({});
    network.now = { eth0: ETH };
    second();
    expect(heard).toMatchObject({ changes: 1, addresses: { length: 2 } });
  });

  test.each([
    ['the machine slept, and the steady clock stood still', { wall: 600_000, steady: 1_000 }],
    ['the process was stopped', { wall: 600_000, steady: 600_000 }],
  ])('%s: that is a change of the network', (_what, passed) => {
    const { heard, second } = watch();
    second(passed);
    expect(heard).toMatchObject({ changes: 1, addresses: { length: 1 } });
    second();
    expect(heard.changes).toBe(1);
  });

  test.each([
    ['a look that is a little late', { wall: 3_500, steady: 3_500 }],
    ['a clock that was set back', { wall: -3_600_000, steady: 1_000 }],
  ])('%s is no sleep', (_what, passed) => {
    const { heard, second } = watch();
    second(passed);
    expect(heard.changes).toBe(0);
  });

  test('says nothing once it is closed', () => {
    const { watcher, network, heard, second } = watch();
    watcher[Symbol.dispose]();
    network.now = {};
    second();
    expect(heard.changes).toBe(0);
  });
});

/** `second` has the watcher look, with so much time gone by. */
function watch(interfaces: Interfaces = { eth0: ETH }) {
  const network = { now: interfaces };
  const time = { wall: 1_000_000, steady: 5_000 };
  const heard = { addresses: [] as string[][], changes: 0 };
  const watcher = new InterfaceWatcher({
    bound: { host: '::', port: 4433 },
    interfaces: () => network.now,
    time: () => ({ ...time }),
    onAddresses: (all: readonly LocalAddress[]) => heard.addresses.push(all.map(({ address }) => address)),
    onChange: () => void heard.changes++,
  });
  const second = (passed = { wall: 1_000, steady: 1_000 }) => {
    time.wall += passed.wall;
    time.steady += passed.steady;
    vi.advanceTimersToNextTimer();
  };
  return { watcher, network, heard, second };
}

function info(cidr: string): NetworkInterfaceInfo {
  const [address = ''] = cidr.split('/');
  const common = { address, netmask: '', mac: '02:00:00:00:00:01', internal: false, cidr };
  return address.includes(':') ? { ...common, family: 'IPv6', scopeid: 0 } : { ...common, family: 'IPv4' };
}
