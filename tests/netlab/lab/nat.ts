// The nftables rules of a router. The kernel's connection tracking by itself gives endpoint-independent mapping
// with address- and port-dependent filtering (masquerade keeps a source's port for every destination), and mapping
// per destination with `fully-random`. Endpoint-independent and address-dependent filtering are made by learning:
// each packet that goes out notes "outer port → inner address and port" in a map, by which unasked packets from
// outside are sent in; for address-dependent filtering only from addresses that the outer port has sent to.
import type { Lan } from './plan.ts';

/** Where a router that maps ports serves UPnP, on its inner side. */
export const upnpPort = 5_000;

/** Ports that mappings of a generation come from; the first one keeps the inner port where it can. */
function ports(generation: number): string {
  if (generation === 0) return '';
  const start = 20_000 + ((generation - 1) % 4) * 10_000;
  return `:${start}-${start + 9_999}`;
}

/**
 * All rules of the router of `lan`, whose outer IPv4 address is `outer`. Another `generation` is another zone of connection tracking and other ports:
 * every mapping is forgotten, as after a reboot of the router.
 */
export function routerRules(lan: Lan, outer: string, generation: number, blackHole: boolean): string {
  const anew = ['ip nat', 'inet filter', 'inet silence'].flatMap((table) => [
    `table ${table} {}`,
    `delete table ${table}`,
  ]);
  return [
    ...anew,
    ...translation(lan, outer, generation),
    ...filter(lan),
    ...(blackHole ? silence : []),
  ].join('\n');
}

/** Drops every "packet too big" that this node would send. */
export const silence: readonly string[] = [
  'table inet silence {',
  '  chain out { type filter hook output priority 0;',
  '    icmp type destination-unreachable icmp code frag-needed counter drop',
  '    icmpv6 type packet-too-big counter drop',
  '  }',
  '}',
];

function translation({ network, ipv4 }: Lan, outer: string, generation: number): string[] {
  const { translation: kind, hairpin } = network;
  if (kind === 'none' || !ipv4) return [];
  const symmetric = kind === 'symmetric';
  const learns = hairpin || kind === 'full-cone' || kind === 'address-restricted';
  const inward = 'dnat ip to udp dport map @mapping';
  const masquerade = symmetric
    ? 'masquerade fully-random'
    : `masquerade${generation > 0 ? ` to ${ports(generation)}` : ''}`;
  return [
    'table ip nat {',
    '  map mapping { type inet_service : ipv4_addr . inet_service; flags dynamic,timeout; timeout 300s; size 65535; }',
    '  set contacted { type inet_service . ipv4_addr; flags dynamic,timeout; timeout 300s; size 65535; }',
    `  chain zone { type filter hook prerouting priority raw; ct zone set ${generation + 1}; }`,
    '  chain inward { type nat hook prerouting priority dstnat;',
    ...when(kind === 'full-cone', `iifname "wan" meta l4proto udp ${inward}`),
    ...when(
      kind === 'address-restricted',
      `iifname "wan" meta l4proto udp udp dport . ip saddr @contacted ${inward}`,
    ),
    ...when(hairpin, `iifname "lan" ip daddr ${outer} meta l4proto udp ${inward}`),
    '  }',
    '  chain outward { type nat hook postrouting priority srcnat;',
    `    oifname "wan" meta l4proto udp ${masquerade}`,
    '    oifname "wan" masquerade',
    ...when(
      hairpin,
      `iifname "lan" oifname "lan" meta l4proto udp ct status dnat snat to ${outer}${ports(generation)}`,
    ),
    '  }',
    // After source NAT, where the outer port is known.
    '  chain learn { type filter hook postrouting priority srcnat + 10;',
    ...when(
      learns,
      'oifname "wan" ct direction original update @contacted { udp sport . ip daddr }',
      'oifname "wan" ct direction original update @mapping { udp sport : ct original ip saddr . ct original proto-src }',
    ),
    '  }',
    '}',
  ];
}

function filter({ network, ipv6 }: Lan): string[] {
  const { translation: kind, firewall, udpBlocked, mapsPorts } = network;
  const known = 'ct state established,related accept';
  const translated = kind !== 'none';
  return [
    'table inet filter {',
    '  chain forward { type filter hook forward priority 0; policy accept;',
    ...when(udpBlocked, 'meta l4proto udp counter drop'),
    ...when(translated, `meta nfproto ipv4 iifname "wan" ct status dnat accept`),
    ...when(
      translated || firewall,
      `meta nfproto ipv4 iifname "wan" ${known}`,
      'meta nfproto ipv4 iifname "wan" counter drop',
    ),
    ...when(
      ipv6 !== undefined && firewall !== false,
      `meta nfproto ipv6 iifname "wan" ${known}`,
      'meta nfproto ipv6 iifname "wan" meta l4proto != icmpv6 counter drop',
    ),
    '  }',
    '  chain input { type filter hook input priority 0; policy accept;',
    // Asked for a mapping: `gateway.ts`.
    ...when(
      mapsPorts !== undefined,
      'iifname "lan" udp dport { 1900, 5351 } accept',
      `iifname "lan" tcp dport ${upnpPort} accept`,
    ),
    // A packet that nobody asked for must leave no entry behind: it would take the port from the answer to it.
    `    ${known}`,
    '    meta l4proto { tcp, udp } counter drop',
    '  }',
    '}',
  ];
}

function when(condition: boolean | undefined, ...rules: string[]): string[] {
  return condition ? rules.map((rule) => `    ${rule}`) : [];
}
