import { Bridge } from './bridge.ts';
import { buildScript, isSilent, outerAddress, routesOf, rules } from './build.ts';
import { startGateway } from './gateway.ts';
import { drop, type Impairment, impairment } from './impair.ts';
import { routerRules } from './nat.ts';
import { type Attachment, internet, type Plan, planOf } from './plan.ts';
import { Probe } from './probe.ts';
import type { LabProcess, ProcessOptions } from './process.ts';
import { Space } from './space.ts';
import type { Topology } from './topology.ts';

export interface LabOptions {
  /** The program that has role `bridge` (native/load), for links with delay; built when it is not given. */
  readonly bridgeProgram?: string;
}

/** Builds the networks of a topology. Dispose it: nothing is left. @throws Error when this machine cannot. */
export async function startLab(topology: Topology, options: LabOptions = {}): Promise<Lab> {
  const plan = planOf(topology);
  await using starting = new AsyncDisposableStack();
  const space = starting.use(await Space.open());
  await space.run(buildScript(plan));
  const lab = new Lab(plan, space, options);
  starting.use(lab);
  for (const attachment of plan.attachments) await lab.begin(attachment);
  for (const { name, network } of plan.lans) {
    if (network.mapsPorts) await startGateway(space, name, network.mapsPorts);
  }
  starting.move();
  return lab;
}

/** Networks, routers and hosts that run. Every change is in force when its promise resolves. */
export class Lab implements AsyncDisposable {
  /** What can be told about what runs in it, when something went wrong. */
  readonly tellers: (() => string)[] = [];
  readonly #plan: Plan;
  readonly #space: Space;
  readonly #bridges = new Map<Attachment, Bridge>();
  readonly #probes = new Map<string, Promise<Probe>>();
  readonly #generations = new Map<string, number>();
  readonly #active = new Map<string, Attachment>();
  readonly #options: LabOptions;

  constructor(plan: Plan, space: Space, options: LabOptions = {}) {
    this.#plan = plan;
    this.#options = options;
    this.#space = space;
    for (const attachment of plan.attachments.toReversed()) this.#active.set(attachment.node, attachment);
  }

  get mode() {
    return this.#space.mode;
  }

  /** For files of processes; it goes with the lab. */
  get folder(): string {
    return this.#space.folder;
  }

  /** The address of a host, or the outer one of a network, as it is now. */
  address(node: string, family: 'ipv4' | 'ipv6' = 'ipv4'): string {
    const subnet = this.#attachment(node)[family];
    if (!subnet) throw new Error(`${node} has no ${family} address`);
    return subnet.address;
  }

  /** The inner IPv4 address of a network's router. */
  router(network: string): string {
    const lan = this.#plan.lans.find(({ name }) => name === network);
    if (!lan?.ipv4) throw new Error(`there is no network ${network} with IPv4`);
    return lan.ipv4.router;
  }

  /** Runs a shell script on a host or router and gives its output. */
  run(node: string, script: string): Promise<string> {
    return this.#space.run(script, node);
  }

  /** Starts a program on a host; it ends with the lab. */
  start(host: string, options: ProcessOptions): LabProcess {
    return this.#space.start(host, options);
  }

  /** The words by which a program runs on a host when whoever starts it is outside; it ends with the lab. */
  into(host: string): readonly string[] {
    return this.#space.into(host);
  }

  /** A hand on a host: sockets of that host's network, told what to do from here. */
  probe(host: string): Promise<Probe> {
    const known = this.#probes.get(host) ?? Probe.start(this.#space, host);
    this.#probes.set(host, known);
    return known;
  }

  /** The node's link drops packets: in part, or all of them. It stays so until `heal`. */
  async impair(node: string, how: Impairment): Promise<void> {
    const attachment = this.#attachment(node);
    await this.#impair(attachment, how);
  }

  /** Nothing passes the node's link, and nobody is told. */
  partition(node: string): Promise<void> {
    return this.impair(node, { lossPercent: 100 });
  }

  /** Ends `impair` and `partition`; loss that the topology declares is gone as well. */
  heal(node: string): Promise<void> {
    return this.impair(node, {});
  }

  /** Nothing, or with a share as `lossPercent` not all, passes between two nodes through the internet; others reach both. */
  async separate(one: string, other: string, { lossPercent = 100 }: Impairment = {}): Promise<void> {
    const lines = (['ipv4', 'ipv6'] as const).flatMap((family) => {
      const [a, b] = [this.#outside(one, family), this.#outside(other, family)];
      const word = family === 'ipv4' ? 'ip' : 'ip6';
      const both = [
        `${word} saddr { ${a.join(', ')} } ${word} daddr { ${b.join(', ')} }`,
        `${word} saddr { ${b.join(', ')} } ${word} daddr { ${a.join(', ')} }`,
      ];
      return a.length > 0 && b.length > 0
        ? both.map((match) => `${match} ${drop(lossPercent, 'apart')}`)
        : [];
    });
    const chain = ['type filter hook forward priority 0;', ...lines].join('\n');
    const table = `table inet ${one}-${other} {\ncounter apart {}\nchain apart {\n${chain}\n}\n}`;
    await this.#space.run(rules(internet, `${gone(one, other)}\n${table}`));
  }

  /** Ends `separate` of the same two. */
  async rejoin(one: string, other: string): Promise<void> {
    await this.#space.run(rules(internet, gone(one, other)));
  }

  /** What the node's link dropped since the last change, both directions. */
  async lost(node: string): Promise<{ readonly up: number; readonly down: number }> {
    const { device, above, aboveDevice } = this.#attachment(node);
    const count = async (where: string, interfaceName: string) => {
      const text = await this.run(where, `nft list counter netdev link-${interfaceName} lost`);
      return Number(/packets (\d+)/.exec(text)?.[1]);
    };
    return { up: await count(above, aboveDevice), down: await count(node, device) };
  }

  /** The router of a network forgets every mapping, as after a reboot; new ones get other ports. */
  async rebind(network: string): Promise<void> {
    const lan = this.#plan.lans.find(({ name }) => name === network);
    if (!lan) throw new Error(`there is no network ${network}`);
    const generation = (this.#generations.get(network) ?? 0) + 1;
    this.#generations.set(network, generation);
    const outer = outerAddress(this.#plan, network);
    const text = routerRules(lan, outer, generation, isSilent(this.#plan, lan));
    await this.#space.run(rules(network, text));
  }

  /** The host loses its interface and uses the one in another of its networks: another address, another router. */
  async roam(host: string, network: string): Promise<void> {
    const from = this.#attachment(host);
    const to = this.#plan.attachments.find(({ node, above }) => node === host && above === network);
    if (!to) throw new Error(`${host} has no uplink in ${network}`);
    const lines = [
      `addr flush dev ${from.device}`,
      `link set ${from.device} down`,
      `link set ${to.device} up`,
    ];
    await this.run(host, `ip -batch - <<'END'\n${[...lines, ...routesOf(to)].join('\n')}\nEND`);
    this.#active.set(host, to);
  }

  /** The bridge that carries the link of a node with `delayMs` or `rateMbps`. */
  bridge(node: string): Bridge {
    const bridge = this.#bridges.get(this.#attachment(node));
    if (!bridge) throw new Error(`the link of ${node} has no bridge: give it delayMs (0 will do)`);
    return bridge;
  }

  /** How to look around by hand: a shell command for each node. */
  enter(): Readonly<Record<string, string>> {
    const nodes = [internet, ...this.#plan.lans.map(({ name }) => name), ...this.#plan.hosts];
    return Object.fromEntries(nodes.map((node) => [node, this.#space.into(node).join(' ')]));
  }

  /** Starts what an attachment needs beyond interfaces. */
  async begin(attachment: Attachment): Promise<void> {
    const { link, wires } = attachment;
    if (wires)
      this.#bridges.set(
        attachment,
        await Bridge.start(this.#space, wires, link, this.#options.bridgeProgram),
      );
    if (link.lossPercent !== undefined) await this.#impair(attachment, link);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#space[Symbol.asyncDispose]();
  }

  async #impair({ node, device, above, aboveDevice }: Attachment, how: Impairment): Promise<void> {
    await Promise.all([
      this.#space.run(rules(node, impairment(device, how))),
      this.#space.run(rules(above, impairment(aboveDevice, how))),
    ]);
  }

  /** Addresses by which the internet knows what is behind a node. */
  #outside(node: string, family: 'ipv4' | 'ipv6'): string[] {
    const own = this.#attachment(node)[family]?.address;
    const lan = this.#plan.lans.find(({ name }) => name === node);
    const inner = lan?.network.translation === 'none' || family === 'ipv6' ? lan?.[family]?.cidr : undefined;
    return [own, inner].filter((address) => address !== undefined);
  }

  #attachment(node: string): Attachment {
    const attachment = this.#active.get(node);
    if (!attachment) throw new Error(`there is no host or network ${node}`);
    return attachment;
  }
}

/** Removes what `separate` made, if it is there. */
function gone(one: string, other: string): string {
  const table = `table inet ${one}-${other}`;
  return `${table} {}\ndelete ${table}`;
}
