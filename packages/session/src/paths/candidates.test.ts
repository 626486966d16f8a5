import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { leftOutAddresses, ownCandidates, readInterfaces, remoteCandidates } from './candidates.ts';
import { AddressFilter } from './filter.ts';
import type { LocalAddress, PathSettings } from './io.ts';
import { DEFAULT_PATH_TUNING } from './io.ts';
import { parseIp, parseSocketAddress } from './ip.ts';
import { Observations } from './nat.ts';
import { ProbeSchedule } from './probing.ts';

const SETTINGS: PathSettings = {
  enabled: true,
  interfaces: { allow: ['*'], deny: ['docker*', 'wg*'] },
  addresses: [],
  virtualRanges: ['100.64.0.0/10'],
  allowLoopback: false,
};
const on = (name: string, address: string, prefix = 24): LocalAddress => ({
  interface: name,
  address,
  prefix,
});
const at = (text: string) => {
  const address = parseSocketAddress(text);
  if (!address) throw new Error(text);
  return address;
};

describe('own candidates', () => {
  it('are sorted by use: announced, public, mapped, observed, private', () => {
    const { list } = own({
      local: [
        on('eth0', '192.168.1.5'),
        on('eth0', '2001:db8::5', 64),
        on('eth0', '198.51.100.5'),
        on('lo', '127.0.0.1', 8),
      ],
      mapped: '203.0.113.1:6000',
      observed: { i1: '203.0.113.1:5000' },
      addresses: ['203.0.113.9', '203.0.113.10:99'],
    });
    expect(list).toEqual([
      '203.0.113.10:99',
      '203.0.113.9:4433',
      '[2001:db8::5]:4433',
      '198.51.100.5:4433',
      '203.0.113.1:6000',
      '203.0.113.1:5000',
      '192.168.1.5:4433',
    ]);
  });

  it('put what a NAT with a port for every destination showed last', () => {
    const { list } = own({
      local: [on('eth0', '192.168.1.5')],
      observed: { i1: '203.0.113.1:5000', i2: '203.0.113.1:5001' },
    });
    expect(list).toEqual(['192.168.1.5:4433', '203.0.113.1:5000', '203.0.113.1:5001']);
  });

  it('leave out private addresses where they may not be shown, and say why', () => {
    const local = [on('eth0', '192.168.1.5'), on('eth0', 'fd12::5', 64)];
    const { list, refused } = own({
      local,
      observed: { i1: '10.0.0.9:5000' },
      addresses: ['10.1.1.1'],
      allowPrivate: false,
    });
    expect(list).toEqual([]);
    expect(refused).toEqual(Array(4).fill('path_own_address_refused/private'));
  });

  it('come from interfaces that are allowed and not denied', () => {
    const local = [on('docker0', '172.17.0.1', 16), on('wg0', '198.51.100.7'), on('eth0', '198.51.100.5')];
    expect(own({ local }).list).toEqual(['198.51.100.5:4433']);
    const none = { ...SETTINGS, interfaces: { allow: [], deny: [] } };
    expect(own({ local, settings: none }).list).toEqual([]);
  });

  it('of a machine with many addresses still have room for what intermediates saw', () => {
    const local = Array.from({ length: 30 }, (_, i) => on('eth0', `198.51.100.${i + 1}`));
    const { list } = own({ local, observed: { i1: '203.0.113.1:5000' } });
    expect(list).toHaveLength(7);
    expect(list).toContain('203.0.113.1:5000');
  });

  it('have no port before there is a socket', () => {
    expect(own({ local: [on('eth0', '198.51.100.5')], port: 0, addresses: ['203.0.113.9'] }).list).toEqual(
      [],
    );
  });

  it('are at most 16 of any number, each once, and none that the filter refuses', () => {
    const ip = fc.oneof(fc.ipV4(), fc.ipV6());
    fc.assert(
      fc.property(
        fc.array(ip, { maxLength: 60, size: 'max' }),
        fc.array(fc.ipV4(), { maxLength: 30, size: 'max' }),
        fc.boolean(),
        (hosts, seen, allowPrivate) => {
          const observed = Object.fromEntries(seen.map((address, i) => [`i${i}`, `${address}:${i + 1}`]));
          const { list } = own({ local: hosts.map((host) => on('eth0', host, 24)), observed, allowPrivate });
          expect(list.length).toBeLessThanOrEqual(16);
          expect(new Set(list).size).toBe(list.length);
          for (const text of list) {
            expect(new AddressFilter(SETTINGS).refuses(at(text).ip, { allowPrivate }), text).toBeUndefined();
          }
        },
      ),
    );
  });
});

describe('remote candidates', () => {
  const filter = new AddressFilter(SETTINGS);
  const interfaces = readInterfaces(
    [on('eth0', '192.168.1.5'), on('docker0', '172.17.0.1', 16)],
    4433,
    SETTINGS,
    filter,
  );
  const take = (addresses: readonly string[]) => {
    const refused: string[] = [];
    const list = remoteCandidates(addresses, interfaces, filter, ({ cause }) => refused.push(cause));
    return { list, refused };
  };

  it('keep their order, each once, without those that must not be probed', () => {
    const given = [
      '203.0.113.1:1',
      '10.0.0.1:2',
      '203.0.113.1:1',
      '127.0.0.1:3',
      'x',
      '172.17.0.3:4',
      '192.168.1.255:5',
    ];
    expect(take(given)).toEqual({
      list: ['203.0.113.1:1', '10.0.0.1:2'],
      refused: ['loopback', 'malformed', 'inner-interface', 'broadcast'],
    });
  });

  it('are not our own socket; another on this machine is fine', () => {
    expect(take(['192.168.1.5:4433', '192.168.1.5:4434'])).toEqual({
      list: ['192.168.1.5:4434'],
      refused: ['own-address'],
    });
  });

  it('are at most 16, and of a long list only the beginning is read', () => {
    const many = Array.from({ length: 100_000 }, (_, i) => `203.0.113.${i % 250}:${1000 + (i % 60_000)}`);
    const { list, refused } = take(many);
    expect(list).toEqual(many.slice(0, 16));
    expect(refused).toEqual(Array(49).fill('too-many'));
  });
});

describe('the mapping of a NAT', () => {
  const own = [parseIp('192.168.1.5'), parseIp('198.51.100.5')].filter((ip) => ip !== undefined);
  const mapping = (seen: Record<string, string>) => {
    const observations = new Observations();
    for (const [by, address] of Object.entries(seen)) observations.set(by, at(address));
    return observations.mapping(4, own);
  };

  it.each([
    ['unknown', {}],
    ['unknown', { i1: '203.0.113.1:5000' }],
    ['unknown', { i1: '[2001:db8::1]:5000', i2: '[2001:db8::1]:5000' }],
    ['none', { i1: '198.51.100.5:4433' }],
    ['endpoint-independent', { i1: '203.0.113.1:5000', i2: '203.0.113.1:5000' }],
    ['destination-dependent', { i1: '203.0.113.1:5000', i2: '203.0.113.1:5001' }],
    ['destination-dependent', { i1: '203.0.113.1:5000', i2: '203.0.113.2:5000' }],
  ] as const)('is %s by %j', (wanted, seen) => {
    expect(mapping(seen)).toBe(wanted);
  });

  it('is unknown again when the network changed, until seen anew; what was seen is still shown', () => {
    const observations = new Observations();
    observations.set('i1', at('203.0.113.1:5000'));
    observations.set('i2', at('203.0.113.1:5000'));
    observations.markStale();
    expect(observations.mapping(4, own)).toBe('unknown');
    expect(observations.addresses()).toEqual([at('203.0.113.1:5000')]);
    observations.set('i1', at('203.0.113.7:5000'));
    observations.set('i2', undefined);
    expect(observations.addresses()).toEqual([at('203.0.113.7:5000')]);
  });

  it('comes from 16 observers at most', () => {
    const observations = new Observations();
    for (let i = 1; i <= 40; i++) observations.set(`i${i}`, at(`203.0.113.${i}:5000`));
    expect(observations.addresses()).toHaveLength(16);
  });
});

describe('the schedule of probes', () => {
  const schedule = (random = 0.5) => new ProbeSchedule(DEFAULT_PATH_TUNING, () => random);

  it('probes at once, then after 1, 2, 5, 10, 30 and 60 s, then each 5 minutes', () => {
    expect(times(schedule(), 1_000_000)).toEqual([0, 1, 3, 8, 18, 48, 108, 408, 708].map((s) => s * 1000));
  });

  it('begins with short intervals again after a restart', () => {
    const probes = schedule();
    expect(times(probes, 50_000)).toHaveLength(6);
    expect(times(probes, 103_500, 100_000)).toEqual([100_000, 101_000, 103_000]);
  });

  it('jitters by a fifth', () => {
    expect(times(schedule(0), 2_000)).toEqual([0, 800]);
    expect(times(schedule(1), 2_000)).toEqual([0, 1200]);
  });

  it('never probes more than its bucket gives, whatever restarts it', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 4_000 }), { minLength: 20, maxLength: 200 }), (gaps) => {
        const probes = schedule();
        const taken: number[] = [];
        let now = 0;
        for (const gap of gaps) {
          now += gap;
          probes.restart(now, 'network');
          while (probes.take(now) !== undefined) taken.push(now);
        }
        for (const start of taken) {
          const within = taken.filter((time) => time >= start && time <= start + 60_000);
          expect(within.length).toBeLessThanOrEqual(5 + 7);
        }
      }),
    );
  });

  it('at rest probes once when asked, and no more', () => {
    const probes = schedule();
    probes.restart(0, 'candidates');
    expect(probes.take(0)).toBe('candidates');
    probes.rest();
    expect(probes.next(0)).toBeUndefined();
    probes.once(50, 'network');
    expect(probes.take(50)).toBe('network');
    expect(probes.next(50)).toBeUndefined();
  });

  function times(probes: ProbeSchedule, end: number, start = 0): number[] {
    const all: number[] = [];
    probes.restart(start, 'candidates');
    for (let now: number | undefined = start; now !== undefined && now <= end; now = probes.next(now)) {
      if (probes.take(now) !== undefined) all.push(now);
    }
    return all;
  }
});

interface Given {
  local: readonly LocalAddress[];
  port?: number;
  mapped?: string;
  observed?: Record<string, string>;
  addresses?: readonly string[];
  allowPrivate?: boolean;
  settings?: PathSettings;
}

function own({
  local,
  port = 4433,
  mapped,
  observed = {},
  addresses = [],
  allowPrivate = true,
  settings = SETTINGS,
}: Given) {
  const filter = new AddressFilter(settings);
  const interfaces = readInterfaces(local, port, settings, filter);
  const observations = new Observations();
  for (const [by, address] of Object.entries(observed)) observations.set(by, at(address));
  const refused: string[] = [];
  const list = ownCandidates(
    {
      settings: { ...settings, addresses },
      interfaces,
      mapped: mapped === undefined ? undefined : at(mapped),
      observed: observations.addresses(),
      mapping: (family) => observations.mapping(family, interfaces.all),
      allowPrivate,
    },
    filter,
    ({ metric, cause }) => refused.push(`${metric}/${cause}`),
  );
  return { list, refused };
}

describe('addresses that no direct path begins at', () => {
  const machine = [
    on('eth0', '192.0.2.20'),
    on('wg0', '10.8.0.2'),
    on('docker0', '172.17.0.1'),
    on('eth1', '172.17.0.1'),
  ];
  it.each([
    ['those that deny names', { allow: ['*'], deny: ['wg*'] }, ['10.8.0.2']],
    ['those that allow does not name', { allow: ['eth*'], deny: [] }, ['10.8.0.2']],
    ['but not one that another interface has too', { allow: ['*'], deny: ['docker*'] }, []],
    ['with an empty allow, those of deny alone', { allow: [], deny: ['wg*'] }, ['10.8.0.2']],
  ])('are %s', (_name, interfaces, expected) => {
    expect(leftOutAddresses(machine, interfaces)).toEqual(expected);
  });
});
