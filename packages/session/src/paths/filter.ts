import { type Ip, isBroadcastOf, isInRange, parseRange, type Range } from './ip.ts';

/** Why an address is neither shown nor probed. Stable; counted by this name. */
export type AddressRefusal =
  | 'malformed'
  | 'unspecified'
  | 'loopback'
  | 'link-local'
  | 'multicast'
  | 'broadcast'
  | 'reserved'
  | 'transition'
  | 'virtual'
  | 'private'
  | 'inner-interface'
  | 'own-address'
  | 'too-many';

/**
 * Ranges that no direct path may lead to. Addresses for documentation are not among them: they are routed nowhere and
 * do no harm, and laboratories use them as their public ones.
 */
const REFUSED = {
  unspecified: ['0.0.0.0/8', '::/128'],
  loopback: ['127.0.0.0/8', '::1/128'],
  // fd00:ec2::/32 is where a cloud answers what 169.254.169.254 does.
  'link-local': ['169.254.0.0/16', 'fe80::/10', 'fd00:ec2::/32'],
  multicast: ['224.0.0.0/4', 'ff00::/8'],
  broadcast: ['255.255.255.255/32'],
  reserved: ['240.0.0.0/4', '192.0.0.0/24', 'fec0::/10', '100::/64'],
  // Of virtual paths: a direct path that leads there has become one through the relay.
  virtual: ['fd7a:7a74:6e61::/48'],
  // IPv4 inside IPv6 would be a way round all the others: compatible, 6to4, Teredo, NAT64.
  transition: ['::/96', '2002::/16', '2001::/32', '64:ff9b::/96', '64:ff9b:1::/48'],
} as const satisfies Partial<Record<AddressRefusal, readonly string[]>>;

const PRIVATE = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'] as const;

/** Virtual addresses of services unless a snapshot names others (RFC 6598: shared by carriers and overlays). */
export const DEFAULT_VIRTUAL_RANGES: readonly string[] = ['100.64.0.0/10'];

export interface FilterOptions {
  /** Lets loopback pass: tests on one machine only. */
  readonly allowLoopback: boolean;
  /** The product's own ranges: packets there would come round to us. */
  readonly virtualRanges: readonly string[];
}

/** The same refusals as ranges, for the engine, which must not send there whatever is decided here. */
export function refusedRanges(options: FilterOptions & { readonly allowPrivate: boolean }): string[] {
  return [
    ...Object.entries(REFUSED).flatMap(([why, ranges]) =>
      why === 'loopback' && options.allowLoopback ? [] : withoutLoopback(ranges, options.allowLoopback),
    ),
    ...options.virtualRanges,
    ...(options.allowPrivate ? [] : PRIVATE),
  ];
}

/** Which addresses may be shown and probed at all. */
export class AddressFilter {
  readonly #refused: readonly (readonly [AddressRefusal, readonly Range[]])[];
  /** Subnets of interfaces that are left out: what leads there is not the network between the peers. */
  #inner: readonly Range[] = [];
  #used: readonly Range[] = [];

  constructor({ allowLoopback, virtualRanges }: FilterOptions) {
    const fixed = Object.entries(REFUSED) as [AddressRefusal, readonly string[]][];
    const own: [AddressRefusal, readonly string[]] = ['virtual', virtualRanges];
    this.#refused = [...fixed, own]
      .filter(([why]) => why !== 'loopback' || !allowLoopback)
      .map(([why, ranges]) => [why, withoutLoopback(ranges, allowLoopback).map(parseRange)] as const);
  }

  /** Interfaces of this machine: `inner` those that are left out, `used` the others. */
  setSubnets(inner: readonly Range[], used: readonly Range[]): void {
    // A tunnel that claims everything is a default route, and says nothing about what lies behind it.
    this.#inner = inner.filter(({ bits }) => bits >= 8);
    this.#used = used;
  }

  /** Undefined when the address may be used. `allowPrivate`: RFC 1918 and ULA pass. */
  refuses(ip: Ip, { allowPrivate }: { readonly allowPrivate: boolean }): AddressRefusal | undefined {
    for (const [why, ranges] of this.#refused) if (ranges.some((range) => isInRange(ip, range))) return why;
    if (this.#leadsInside(ip)) return 'inner-interface';
    if (this.#used.some((subnet) => isBroadcastOf(ip, subnet))) return 'broadcast';
    return !allowPrivate && isPrivate(ip) ? 'private' : undefined;
  }

  /** An interface that is used reaches it as well, or better, and it is no matter. */
  #leadsInside(ip: Ip): boolean {
    const longest = (ranges: readonly Range[]) =>
      Math.max(-1, ...ranges.filter((range) => isInRange(ip, range)).map(({ bits }) => bits));
    return longest(this.#inner) > longest(this.#used);
  }
}

const PRIVATE_RANGES = PRIVATE.map(parseRange);

/** RFC 1918 or ULA. */
export function isPrivate(ip: Ip): boolean {
  return PRIVATE_RANGES.some((range) => isInRange(ip, range));
}

/** True when a name fits one of the patterns, in which `*` stands for any characters. */
export function matchesAny(name: string, patterns: readonly string[]): boolean {
  return patterns.some((pattern) => matches(name, pattern));
}

function matches(name: string, pattern: string): boolean {
  let at = 0;
  let inPattern = 0;
  let star = -1;
  let from = 0;
  while (at < name.length) {
    if (pattern[inPattern] === '*') {
      star = inPattern++;
      from = at;
    } else if (pattern[inPattern] === name[at]) {
      inPattern++;
      at++;
    } else if (star >= 0) {
      inPattern = star + 1;
      at = ++from;
    } else {
      return false;
    }
  }
  while (pattern[inPattern] === '*') inPattern++;
  return inPattern === pattern.length;
}

/** `::1` lies in `::/96` too. */
function withoutLoopback(ranges: readonly string[], allowLoopback: boolean): readonly string[] {
  return allowLoopback ? ranges.filter((range) => range !== '::/96') : ranges;
}
