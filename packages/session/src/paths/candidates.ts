import { LIMITS, type NatMapping } from '@ztna/wire';
import type { CountOutput } from '../types.ts';
import { type AddressFilter, type AddressRefusal, isPrivate, matchesAny } from './filter.ts';
import type { LocalAddress, PathSettings } from './io.ts';
import {
  formatSocketAddress,
  type Ip,
  parseIp,
  parseSocketAddress,
  type SocketAddress,
  sameIp,
} from './ip.ts';

/** Addresses of this machine and from the peer that are looked at; what comes after is not. */
const MAX_LOCAL = 256;
export const MAX_REMOTE = 64;
/** Of one kind; or a machine with many addresses would show nothing else. */
const MAX_HOST = 6;

export interface Interfaces {
  /** Addresses of interfaces that may be shown, each once. */
  readonly shown: readonly Ip[];
  /** All addresses of this machine. */
  readonly all: readonly Ip[];
  readonly port: number;
}

export const NO_INTERFACES: Interfaces = { shown: [], all: [], port: 0 };

/** Sorts this machine's addresses by the interface filter, and tells the address filter where they lead. */
export function readInterfaces(
  addresses: readonly LocalAddress[],
  port: number,
  { interfaces }: PathSettings,
  filter: AddressFilter,
): Interfaces {
  const parsed = addresses.slice(0, MAX_LOCAL).flatMap(({ interface: name, address, prefix }) => {
    const ip = parseIp(address);
    const isShown = matchesAny(name, interfaces.allow) && !matchesAny(name, interfaces.deny);
    return ip && prefix >= 0 && prefix <= ip.bytes.length * 8 ? [{ ip, bits: prefix, isShown }] : [];
  });
  const [shown, inner] = [true, false].map((wanted) => parsed.filter(({ isShown }) => isShown === wanted));
  filter.setSubnets(inner ?? [], shown ?? []);
  return { shown: (shown ?? []).map(({ ip }) => ip), all: parsed.map(({ ip }) => ip), port };
}

/**
 * Addresses of interfaces that `deny` names or `allow` does not: no direct path begins there, whatever is shown. With an
 * empty `allow`, which shows none, only `deny` counts: a forward made by hand ends at some interface.
 */
export function leftOutAddresses(
  addresses: readonly LocalAddress[],
  { allow, deny }: PathSettings['interfaces'],
): string[] {
  const isUsed = ({ interface: name }: LocalAddress) =>
    (allow.length === 0 || matchesAny(name, allow)) && !matchesAny(name, deny);
  const used = new Set(addresses.filter(isUsed).map(({ address }) => address));
  return [...new Set(addresses.map(({ address }) => address))].filter((address) => !used.has(address));
}

export interface Sources {
  readonly settings: PathSettings;
  readonly interfaces: Interfaces;
  readonly mapped: SocketAddress | undefined;
  readonly observed: readonly SocketAddress[];
  readonly mapping: (family: 4 | 6) => NatMapping;
  readonly allowPrivate: boolean;
}

interface Candidate {
  readonly address: SocketAddress;
  readonly rank: number;
}

/**
 * What may be shown to the peer, most useful first, at most LIMITS.candidates: what people announced; public addresses
 * of this machine; the router's mapping; what intermediates saw; private addresses; last what an intermediate saw
 * of a NAT that gives every destination another port. IPv6 before IPv4 of one rank.
 */
export function ownCandidates(
  sources: Sources,
  filter: AddressFilter,
  count: (refusal: CountOutput) => void,
): string[] {
  const fit = candidates(sources).filter(({ address }) => {
    const why = filter.refuses(address.ip, { allowPrivate: sources.allowPrivate });
    if (why) count(refused('own', why));
    return why === undefined;
  });
  const text = ({ address }: Candidate) => formatSocketAddress(address);
  const sorted = fit.sort(
    (a, b) => a.rank - b.rank || b.address.ip.family - a.address.ip.family || (text(a) < text(b) ? -1 : 1),
  );
  const hosts = { global: 0, private: 0 };
  const kept = sorted.filter(({ rank, address }) => {
    if (rank !== RANK.host && rank !== RANK.private) return true;
    return ++hosts[isPrivate(address.ip) ? 'private' : 'global'] <= MAX_HOST;
  });
  return [...new Set(kept.map(text))].slice(0, LIMITS.candidates);
}

/** What of the peer's candidates may be probed, in its order, at most LIMITS.candidates. */
export function remoteCandidates(
  addresses: readonly string[],
  { all, port }: Interfaces,
  filter: AddressFilter,
  count: (refusal: CountOutput) => void,
): string[] {
  const kept = new Set<string>();
  for (const [i, text] of addresses.entries()) {
    const why = i < MAX_REMOTE ? refusalOf(text) : 'too-many';
    if (why !== undefined) count(refused('remote', why));
    if (i >= MAX_REMOTE) break;
  }
  return [...kept];

  function refusalOf(text: string): AddressRefusal | undefined {
    const address = parseSocketAddress(text);
    if (!address) return 'malformed';
    if (address.port === port && all.some((ip) => sameIp(ip, address.ip))) return 'own-address';
    const why = filter.refuses(address.ip, { allowPrivate: true });
    if (why !== undefined) return why;
    const plain = formatSocketAddress(address);
    if (!kept.has(plain) && kept.size >= LIMITS.candidates) return 'too-many';
    kept.add(plain);
    return undefined;
  }
}

export function refused(whose: 'own' | 'remote' | 'path', why: AddressRefusal): CountOutput {
  return { type: 'count', metric: `path_${whose}_address_refused`, cause: why };
}

const RANK = { announced: 0, host: 1, mapped: 2, observed: 3, private: 4, doubtful: 5 } as const;

function candidates({ settings, interfaces, mapped, observed, mapping }: Sources): Candidate[] {
  const { port, shown } = interfaces;
  const announced = settings.addresses.flatMap((text): SocketAddress[] => {
    const ip = parseIp(text);
    const address = ip && port > 0 ? { ip, port } : parseSocketAddress(text);
    return address ? [address] : [];
  });
  return [
    ...announced.map((address) => ({ address, rank: RANK.announced })),
    ...(port > 0 ? shown : []).map((ip) => ({
      address: { ip, port },
      rank: isPrivate(ip) ? RANK.private : RANK.host,
    })),
    ...(mapped ? [{ address: mapped, rank: RANK.mapped }] : []),
    ...observed.map((address) => {
      const dependent = mapping(address.ip.family) === 'destination-dependent';
      return { address, rank: dependent ? RANK.doubtful : RANK.observed };
    }),
  ];
}
