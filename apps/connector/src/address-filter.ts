import { BlockList, isIPv4, isIPv6 } from 'node:net';
import { networkInterfaces } from 'node:os';

/** Why an address is not dialled. */
export type Forbidden = 'unspecified' | 'multicast' | 'loopback' | 'link-local' | 'own-listener';

/** Dialled when the service says `allowLocal`; the others never are. */
const LOCAL: ReadonlySet<Forbidden> = new Set(['loopback', 'link-local', 'own-listener']);

const RANGES: readonly (readonly [Forbidden, readonly (readonly [string, number])[]])[] = [
  [
    'unspecified',
    [
      ['0.0.0.0', 8],
      ['::', 128],
    ],
  ],
  [
    'multicast',
    [
      ['224.0.0.0', 4],
      ['255.255.255.255', 32],
      ['ff00::', 8],
    ],
  ],
  [
    'loopback',
    [
      ['127.0.0.0', 8],
      ['::1', 128],
    ],
  ],
  [
    'link-local',
    [
      ['169.254.0.0', 16],
      ['fe80::', 10],
    ],
  ],
];

const LISTS = RANGES.map(([name, ranges]) => {
  const list = new BlockList();
  for (const [net, prefix] of ranges) list.addSubnet(net, prefix, net.includes(':') ? 'ipv6' : 'ipv4');
  return { name, list };
});

export interface FilterOptions {
  readonly allowLocal: boolean;
  /** Ports on which this process listens. */
  readonly ownPorts: readonly number[];
  /** Addresses of this machine; by default asked of the system. */
  readonly ownAddresses?: readonly string[];
}

/** Whether a resolved address may be dialled: undefined, or why not. `ip` without brackets. */
export function forbids(ip: string, port: number, options: FilterOptions): Forbidden | undefined {
  const found = classify(plain(ip), port, options);
  return found !== undefined && options.allowLocal && LOCAL.has(found) ? undefined : found;
}

function classify(ip: string, port: number, options: FilterOptions): Forbidden | undefined {
  const family = isIPv4(ip) ? 'ipv4' : isIPv6(ip) ? 'ipv6' : undefined;
  if (family === undefined) return 'unspecified';
  const hit = LISTS.find(({ list }) => list.check(ip, family));
  if (hit) return hit.name;
  if (!options.ownPorts.includes(port)) return undefined;
  const own = options.ownAddresses ?? addressesOfMachine();
  return own.some((address) => plain(address) === ip) ? 'own-listener' : undefined;
}

/** One spelling: without zone, and IPv4 behind an IPv4-mapped address. */
function plain(ip: string): string {
  const bare = (ip.split('%')[0] ?? '').toLowerCase();
  if (!isIPv6(bare)) return bare;
  const canonical = new URL(`http://[${bare}]`).hostname.slice(1, -1);
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(canonical);
  if (!mapped) return canonical;
  const [high, low] = [Number.parseInt(mapped[1] ?? '', 16), Number.parseInt(mapped[2] ?? '', 16)];
  return [high >> 8, high & 0xff, low >> 8, low & 0xff].join('.');
}

function addressesOfMachine(): string[] {
  return Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address));
}
