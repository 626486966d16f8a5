// The shell script that makes a planned lab: namespaces, links, addresses, routes, rules. Pure.
import { routerRules, silence } from './nat.ts';
import { type Attachment, internet, type Lan, type Plan, type Subnet } from './plan.ts';

/** For `sh -e` in the network namespace of the lab. */
export function buildScript(plan: Plan): string {
  const routers = plan.lans.map(({ name }) => name);
  const nodes = [internet, 'wires', ...routers, ...plan.hosts];
  return [
    ...nodes.map((node) => `ip netns add ${node}`),
    ...batch([...nodes.map((node) => ({ node, command: 'link set lo up' })), ...plan.lans.flatMap(bridgeOf)]),
    ...plan.attachments.flatMap(cable),
    ...[internet, ...routers].map((node) => inside(node, forwarding)),
    inside('wires', 'echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6'),
    ...batch([
      ...plan.attachments.flatMap((attachment) => shape(attachment)),
      ...plan.attachments.flatMap((attachment) => address(attachment, plan.lans)),
    ]),
    ...plan.lans.map((lan) =>
      rules(lan.name, routerRules(lan, outerAddress(plan, lan.name), 0, isSilent(plan, lan))),
    ),
    ...(plan.usesBlackHole ? [rules(internet, silence.join('\n'))] : []),
  ].join('\n');
}

/** Replaces all rules of a namespace, as a shell command. */
export function rules(node: string, text: string): string {
  return inside(node, `nft -f - <<'RULES'\n${text}\nRULES`);
}

export function outerAddress({ attachments }: Plan, network: string): string {
  const wan = attachments.find(({ node, device }) => node === network && device === 'wan');
  return wan?.ipv4?.address ?? '0.0.0.0';
}

export function isSilent({ attachments }: Plan, { name }: Lan): boolean {
  return attachments.some(({ node, above, link }) => link.blackHole && (node === name || above === name));
}

/** The commands by which a host begins to use one of its interfaces. */
export function routesOf({ device, ipv4, ipv6 }: Attachment): string[] {
  const one = ({ address: own, gateway, bits }: Subnet, more = '') => [
    `addr add ${own}/${bits} dev ${device}${more}`,
    `route add default via ${gateway} dev ${device}`,
  ];
  return [...(ipv4 ? one(ipv4) : []), ...(ipv6 ? one(ipv6, ' nodad') : [])];
}

const forwarding = [
  'echo 1 > /proc/sys/net/ipv4/ip_forward',
  'echo 1 > /proc/sys/net/ipv6/conf/all/forwarding',
  // What is only bridged inside a LAN is no business of the router's rules.
  'for f in ip ip6 arp; do',
  '  file=/proc/sys/net/bridge/bridge-nf-call-"$f"tables; if test -e $file; then echo 0 > $file; fi',
  'done',
].join('\n');

function inside(node: string, script: string): string {
  return `nsenter --net=/run/netns/${node} sh -e <<'INSIDE'\n${script}\nINSIDE`;
}

interface Ip {
  readonly node: string;
  readonly command: string;
}

/** One `ip` process for each namespace. */
function batch(commands: readonly Ip[]): string[] {
  const nodes = [...new Set(commands.map(({ node }) => node))];
  return nodes.map((node) => {
    const lines = commands.filter((c) => c.node === node).map(({ command }) => command);
    return `ip -n ${node} -batch - <<'BATCH'\n${lines.join('\n')}\nBATCH`;
  });
}

function bridgeOf({ name: node, ipv4, ipv6 }: Lan): Ip[] {
  const commands = ['link add lan type bridge', 'link set lan up'];
  if (ipv4) commands.push(`addr add ${ipv4.router}/${ipv4.bits} dev lan`);
  if (ipv6) commands.push(`addr add ${ipv6.router}/${ipv6.bits} dev lan nodad`);
  return commands.map((command) => ({ node, command }));
}

function cable({ node, device, above, aboveDevice, wires }: Attachment): string[] {
  const pair = (a: string, atA: string, b: string, atB: string) =>
    `ip link add ${a} netns ${atA} type veth peer name ${b} netns ${atB}`;
  if (!wires) return [pair(device, node, aboveDevice, above)];
  return [pair(device, node, wires[0], 'wires'), pair(aboveDevice, above, wires[1], 'wires')];
}

/** No packet is larger than the link, unless it carries bundles: loss and delay are to meet packets. */
function shape({ node, device, above, aboveDevice, wires, link }: Attachment): Ip[] {
  const { mtu = 1500, bundles = false } = link;
  const size = bundles ? `mtu ${mtu}` : `mtu ${mtu} gso_max_segs 1`;
  const ends = [
    { node, device },
    { node: above, device: aboveDevice },
    ...(wires ?? []).map((wire) => ({ node: 'wires', device: wire })),
  ];
  const master = above === internet ? [] : [{ node: above, command: `link set ${aboveDevice} master lan` }];
  const up = ends.map((end) => ({
    node: end.node,
    command: `link set ${end.device} ${size} up`,
  }));
  return [...master, ...up];
}

function address(attachment: Attachment, lans: readonly Lan[]): Ip[] {
  const { node, device, above, aboveDevice, ipv4, ipv6 } = attachment;
  const commands: Ip[] = [];
  const at = (where: string, command: string) => commands.push({ node: where, command });
  if (above === internet) {
    if (ipv4) at(internet, `addr add ${ipv4.gateway}/${ipv4.bits} dev ${aboveDevice}`);
    if (ipv6) at(internet, `addr add ${ipv6.gateway}/${ipv6.bits} dev ${aboveDevice} nodad`);
  }
  if (device === 'wan' || device === 'eth0') for (const command of routesOf(attachment)) at(node, command);
  const inner = device === 'wan' ? lans.find(({ name }) => name === node) : undefined;
  if (inner?.network.translation === 'none' && inner.ipv4 && ipv4)
    at(above, `route add ${inner.ipv4.cidr} via ${ipv4.address}`);
  if (inner?.ipv6 && ipv6) at(above, `route add ${inner.ipv6.cidr} via ${ipv6.address}`);
  return commands;
}
