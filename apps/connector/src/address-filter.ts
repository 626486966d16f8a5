import { BlockList, isIPv4, isIPv6 } from 'node:net';
import { networkInterfaces } from 'node:os';
import { attempt } from '@ztna/link';

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
      // Instance metadata of a cloud, by IPv6: as good as link-local.
      ['fd00:ec2::254', 128],
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
  readonly ownAddresses?: () => readonly string[];
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
  const own = attempt(options.ownAddresses ?? addressesOfMachine);
  // Not known: then it may be one of them.
  if (!own) return 'own-listener';
  return own.some((address) => plain(address) === ip) ? 'own-listener' : undefined;
}

/**
 * One spelling: without zone, and the IPv4 address that an IPv6 address stands for. Behind a translator or a tunnel
 * `64:ff9b::169.254.169.254` is the metadata service just as the IPv4 address is.
 */
function plain(ip: string): string {
  const bare = (ip.split('%')[0] ?? '').toLowerCase();
  if (!isIPv6(bare)) return bare;
  const groups = groupsOf(bare);
  const at = embeddedAt(groups);
  if (at === undefined) return new URL(`http://[${bare}]`).hostname.slice(1, -1);
  return groups
    .slice(at, at + 2)
    .flatMap((group) => [group >> 8, group & 0xff])
    .join('.');
}

/** The eight groups of an IPv6 address. */
function groupsOf(ip: string): number[] {
  const [head = '', tail] = new URL(`http://[${ip}]`).hostname.slice(1, -1).split('::');
  const read = (part = '') => (part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16)));
  const [left, right] = [read(head), read(tail)];
  return [...left, ...Array<number>(8 - left.length - right.length).fill(0), ...right];
}

/** Where an IPv4 address begins in an IPv6 address that stands for it. */
function embeddedAt(groups: readonly number[]): number | undefined {
  const begins = (...prefix: number[]) => prefix.every((group, i) => groups[i] === group);
  if (begins(0x2002)) return 1; // 6to4, RFC 3056
  if (begins(0x64, 0xff9b, 0, 0, 0, 0)) return 6; // NAT64, RFC 6052
  if (begins(0x64, 0xff9b, 1)) return 6; // NAT64 of the network's own, RFC 8215: with the usual /96
  if (begins(0, 0, 0, 0, 0xffff, 0)) return 6; // IPv4-translated, RFC 2765
  if (begins(0, 0, 0, 0, 0, 0xffff)) return 6; // IPv4-mapped, RFC 4291
  const compatible = begins(0, 0, 0, 0, 0, 0) && (groups[6] !== 0 || (groups[7] ?? 0) > 1);
  return compatible ? 6 : undefined; // IPv4-compatible, RFC 4291; not :: and ::1
}

function addressesOfMachine(): string[] {
  return Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address));
}
