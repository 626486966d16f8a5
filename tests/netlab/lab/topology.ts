// What a lab looks like, as data. Times in ms, sizes in bytes.

/** How a network's router treats what crosses it towards its uplink; RFC 4787 words in brackets. */
export type Translation =
  /** No translation: hosts have public addresses. */
  | 'none'
  /** [endpoint-independent mapping and filtering] */
  | 'full-cone'
  /** [endpoint-independent mapping, address-dependent filtering] */
  | 'address-restricted'
  /** [endpoint-independent mapping, address- and port-dependent filtering] */
  | 'port-restricted'
  /** [address- and port-dependent mapping, ports at random; address- and port-dependent filtering] */
  | 'symmetric';

/** A veth pair between a host or router and the network above it. */
export interface Link {
  /** Largest IP packet. */
  readonly mtu?: number;
  /** Nobody says "packet too big" about it: path MTU discovery that trusts ICMP fails. */
  readonly blackHole?: boolean;
  /** Of the packets of each direction, at random. */
  readonly lossPercent?: number;
  /** One way. Given (even 0), the link goes through a user-space bridge and can be shaped while it runs. */
  readonly delayMs?: number;
  readonly rateMbps?: number;
  /** Packets under way in one direction; more are dropped. */
  readonly queuePackets?: number;
  /** The kernel may send bundles of packets (GSO) over it, as a network card does: for measuring throughput. */
  readonly bundles?: boolean;
}

/** By which a router maps ports on request: PCP with NAT-PMP, or UPnP Internet Gateway Device. */
export type MappingProtocol = 'pcp' | 'upnp';

/** A local network with its router. */
export interface Network {
  readonly translation: Translation;
  /** With `none`: lets in only what was asked for from inside. */
  readonly firewall?: boolean;
  /** Hosts of the network reach each other through the router's outer address. */
  readonly hairpin?: boolean;
  /** The router maps ports on request. `rebind` does not touch these. */
  readonly mapsPorts?: MappingProtocol;
  /** No UDP passes. */
  readonly udpBlocked?: boolean;
  /** IPv6 is never translated; `ipv6` and `dual` have a stateful firewall for it unless `firewall` is false. */
  readonly family?: 'ipv4' | 'ipv6' | 'dual';
  /** The network that its router is in; `internet` by default. Another network makes a double NAT. */
  readonly uplink?: string;
  readonly link?: Link;
}

export interface Host {
  /** Networks that it has an interface in; the first one is used until `roam`. `internet` is one. */
  readonly uplinks: readonly string[];
  readonly link?: Link;
}

/** Names are host names: lower-case letters, digits, hyphens; at most 32. The network `internet` is always there. */
export interface Topology {
  readonly networks?: Readonly<Record<string, Network>>;
  readonly hosts: Readonly<Record<string, Host>>;
}

/** Kinds of access that scenarios go through, from the best to the worst. */
export const accessKinds = [
  'open',
  'firewall',
  'full-cone',
  'address-restricted',
  'port-restricted',
  'symmetric',
  'cgnat',
  'dual-stack',
  'ipv6-only',
  'udp-blocked',
] as const;
export type AccessKind = (typeof accessKinds)[number];

/** The networks of an access kind: hosts go into `name`. */
export function access(
  kind: AccessKind,
  name: string,
  more: Partial<Network> = {},
): Readonly<Record<string, Network>> {
  const one = (network: Network) => ({ [name]: { ...network, ...more } });
  switch (kind) {
    case 'open':
      return one({ translation: 'none' });
    case 'firewall':
      return one({ translation: 'none', firewall: true });
    case 'full-cone':
    case 'address-restricted':
    case 'port-restricted':
    case 'symmetric':
      return one({ translation: kind });
    case 'cgnat': {
      const carrier = `${name}-isp`;
      return {
        [carrier]: { translation: 'port-restricted', hairpin: true },
        ...one({ translation: 'port-restricted', uplink: carrier }),
      };
    }
    case 'dual-stack':
      return one({ translation: 'port-restricted', family: 'dual' });
    case 'ipv6-only':
      return one({ translation: 'none', family: 'ipv6' });
    case 'udp-blocked':
      return one({ translation: 'port-restricted', udpBlocked: true });
    default:
      return kind satisfies never;
  }
}
