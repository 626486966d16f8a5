// From a topology to addresses and interfaces. Pure: the same topology always gives the same plan.
import type { Host, Link, Network, Topology } from './topology.ts';

export const internet = 'internet';

/** One interface of a host, or the outer one of a router. */
export interface Attachment {
  /** The host, or the network whose router it is. */
  readonly node: string;
  /** Interface on the node: `eth0`, `eth1`; `wan` on a router. */
  readonly device: string;
  /** The namespace above, `internet` or the network that it is attached to, and the interface there. */
  readonly above: string;
  readonly aboveDevice: string;
  readonly ipv4?: Subnet;
  readonly ipv6?: Subnet;
  readonly link: Link;
  /** Interfaces of the namespace `wires`, when a bridge carries it. */
  readonly wires?: readonly [string, string];
}

export interface Subnet {
  readonly address: string;
  readonly gateway: string;
  readonly bits: number;
}

/** The inner side of a router. */
export interface Lan {
  readonly name: string;
  readonly network: Network;
  readonly ipv4?: LanRange;
  readonly ipv6?: LanRange;
}

interface LanRange {
  /** Everything before the host's own number. */
  readonly prefix: string;
  /** `192.168.1.0/24`. */
  readonly cidr: string;
  readonly router: string;
  readonly bits: number;
  /** Of the first host. */
  readonly first: number;
}

export interface Plan {
  readonly lans: readonly Lan[];
  readonly attachments: readonly Attachment[];
  readonly hosts: readonly string[];
  readonly usesBlackHole: boolean;
}

/**
 * Links of the internet. No range for documentation, as everything else that is public here: programs that map ports
 * give none on such an address. Nobody outside is reached or meant, for no lab has a way out.
 */
const internetPrefix = '44.0.113.';
const maxPublicLans = 15;
const maxPublicLinks = 62;

/** @throws Error about what is wrong with the topology. */
export function planOf(topology: Topology): Plan {
  const networks = Object.entries(topology.networks ?? {});
  const hosts = Object.entries(topology.hosts);
  checkNames([...networks.map(([name]) => name), ...hosts.map(([name]) => name)]);
  const lans = planLans(networks);
  const planner = new Planner(lans);
  const attachments = [
    ...networks.map(([name, network]) => planner.router(name, network)),
    ...hosts.flatMap(([name, host]) => planner.host(name, host)),
  ];
  return {
    ...{ lans, attachments, hosts: hosts.map(([name]) => name) },
    usesBlackHole: attachments.some(({ link }) => link.blackHole === true),
  };
}

function checkNames(names: readonly string[]): void {
  for (const [i, name] of names.entries()) {
    if (!/^[a-z][a-z0-9-]{0,31}$/.test(name)) throw new Error(`not a name for a host or network: ${name}`);
    if (names.indexOf(name) !== i || [internet, 'wires'].includes(name)) throw new Error(`${name} is taken`);
  }
}

function planLans(networks: readonly (readonly [string, Network])[]): Lan[] {
  const uplinks = new Set(networks.map(([, { uplink }]) => uplink));
  let publicLans = 0;
  return networks.map(([name, network], i): Lan => {
    const { family = 'ipv4', translation } = network;
    const number = i + 1;
    let ipv4: LanRange | undefined;
    if (family !== 'ipv6' && translation === 'none') {
      if (publicLans >= maxPublicLans)
        throw new Error(`more than ${maxPublicLans} networks with public IPv4`);
      const base = 16 * ++publicLans;
      const cidr = `198.51.100.${base}/28`;
      ipv4 = { prefix: '198.51.100.', cidr, router: `198.51.100.${base + 1}`, bits: 28, first: base + 2 };
    } else if (family !== 'ipv6') {
      // RFC 6598 for the network between a carrier's NAT and its customers.
      const prefix = uplinks.has(name) ? `100.64.${number}.` : `192.168.${number}.`;
      ipv4 = { prefix, cidr: `${prefix}0/24`, router: `${prefix}1`, bits: 24, first: 10 };
    }
    const prefix = `2001:db8:1:${number}::`;
    const ipv6 = { prefix, cidr: `${prefix}/64`, router: `${prefix}1`, bits: 64, first: 10 };
    return { name, network, ...(ipv4 && { ipv4 }), ...(family !== 'ipv4' && { ipv6 }) };
  });
}

class Planner {
  readonly #lans: ReadonlyMap<string, Lan>;
  readonly #members = new Map<string, number>();
  #wires = 0;

  constructor(lans: readonly Lan[]) {
    this.#lans = new Map(lans.map((lan) => [lan.name, lan]));
  }

  router(name: string, { uplink = internet, link = {}, family = 'ipv4' }: Network): Attachment {
    if (uplink !== internet && family !== 'ipv4') throw new Error(`${name}: IPv6 needs the uplink internet`);
    return this.#attach(name, 'wan', uplink, link);
  }

  host(name: string, { uplinks, link = {} }: Host): Attachment[] {
    if (uplinks.length === 0) throw new Error(`${name} has no uplink`);
    return uplinks.map((uplink, i) => this.#attach(name, `eth${i}`, uplink, link));
  }

  #attach(node: string, device: string, above: string, link: Link): Attachment {
    const number = this.#members.get(above) ?? 0;
    this.#members.set(above, number + 1);
    const shaped = link.delayMs !== undefined || link.rateMbps !== undefined;
    const wire = `w${this.#wires}`;
    if (shaped) this.#wires++;
    const common = { node, device, above, link, ...(shaped && { wires: [`${wire}a`, `${wire}b`] as const }) };
    if (above === internet) return { ...common, aboveDevice: `i${number + 1}`, ...publicLink(number) };
    const lan = this.#lans.get(above);
    if (!lan) throw new Error(`${node}: there is no network ${above}`);
    const subnet = (range: LanRange): Subnet => ({
      address: `${range.prefix}${range.first + number}`,
      gateway: range.router,
      bits: range.bits,
    });
    return {
      ...common,
      aboveDevice: `p${number + 1}`,
      ...(lan.ipv4 && { ipv4: subnet(lan.ipv4) }),
      ...(lan.ipv6 && { ipv6: subnet(lan.ipv6) }),
    };
  }
}

/** A subnet of its own for each link of the internet, so that it is routed and says "packet too big". */
function publicLink(number: number): { ipv4: Subnet; ipv6: Subnet } {
  if (number >= maxPublicLinks) throw new Error(`more than ${maxPublicLinks} links of the internet`);
  const base = 4 * (number + 1);
  const prefix = `2001:db8:0:${number + 1}::`;
  return {
    ipv4: { address: `${internetPrefix}${base + 2}`, gateway: `${internetPrefix}${base + 1}`, bits: 30 },
    ipv6: { address: `${prefix}2`, gateway: `${prefix}1`, bits: 64 },
  };
}
