import { BlockList, isIPv6 } from 'node:net';
import type { PathInput, PathOutput, PathSide } from '../../src/paths/io.ts';
import type { Route, World } from './world.ts';

const MINUTE = 60_000;
/** Bounds that hold whatever happens: burst and refill of probes, switches that nothing forces. */
const MAX_PROBES = 5 + 7;
/** A change of network, which no peer can bring about, gives a burst again; once in 30 s. */
const PROBES_OF_NETWORK = 5;
const MAX_FREE_SWITCHES = 6;

/** Written apart from the filter that it checks. */
const NEVER = blockList([
  ['0.0.0.0', 8],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['224.0.0.0', 3],
  ['100.64.0.0', 10],
  ['172.17.0.0', 16],
  ['::', 96],
  ['fe80::', 10],
  ['ff00::', 8],
  ['fd5a::', 48],
]);
const PRIVATE = blockList([
  ['10.0.0.0', 8],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
  ['fc00::', 7],
]);

/** What must hold of two cores at any time, kept apart from how they work. */
export class Model {
  readonly failures: string[] = [];
  readonly seen = new Map<string, number>();
  readonly #world: World;
  readonly #probes: number[] = [];
  readonly #networkChanges: number[] = [];
  readonly #freeSwitches: number[] = [];
  /** What each core was told of paths: open, and whether dead. */
  readonly #open: Record<PathSide, Map<number, boolean>> = { agent: new Map(), connector: new Map() };
  readonly #remotes: Record<PathSide, Map<number, string>> = { agent: new Map(), connector: new Map() };
  readonly #relayUp: Record<PathSide, boolean> = { agent: true, connector: true };
  readonly #preferred: Record<PathSide, number> = { agent: 0, connector: 0 };
  #steps = 0;

  constructor(world: World) {
    this.#world = world;
  }

  fail(what: string): void {
    if (this.failures.length < 20) this.failures.push(`${this.#world.time.now}: ${what}`);
  }

  sees(side: PathSide, input: PathInput): void {
    const open = this.#open[side];
    if (input.type === 'path-opened') open.set(input.path, false);
    if (input.type === 'path-closed') open.delete(input.path);
    if (input.type === 'path-opened' || input.type === 'path-moved') {
      this.#remotes[side].set(input.path, input.remote);
    }
    if (input.type === 'path-dead' && open.has(input.path)) open.set(input.path, true);
    if (input.type === 'path-alive' && open.has(input.path)) open.set(input.path, false);
    if (input.type === 'relay-lost') this.#relayUp[side] = false;
    if (input.type === 'relay-back') this.#relayUp[side] = true;
    if (input.type === 'network-changed' && side === 'agent') {
      this.#networkChanges.push(this.#world.time.now);
    }
  }

  output(side: PathSide, output: PathOutput): void {
    const key = 'cause' in output ? `${output.metric}/${output.cause}` : output.type;
    this.seen.set(key, (this.seen.get(key) ?? 0) + 1);
    const { direct } = this.#world.policy[side];
    switch (output.type) {
      case 'show-candidates':
        return this.#shown(side, output.addresses);
      case 'probe':
        if (side === 'connector') this.fail('a connector probes');
        if (direct === 'deny') this.fail('probes although denied');
        return this.#bounded(this.#probes, this.#mostProbes(), 'probes');
      case 'prefer':
        return this.#prefers(side, output.path);
      case 'close-path':
        this.#open[side].delete(output.path);
        return;
      default:
    }
  }

  /** After each input and timer of a core, when all outputs are carried out. */
  settled(side: PathSide): void {
    const core = this.#world.cores[side];
    const at = core.pollTimeout();
    if (at !== undefined && at <= this.#world.time.now) this.fail(`${side}: a timer in the past`);
    if (this.#steps++ > 500_000) throw new Error('too many steps');
    const { direct } = this.#world.policy[side];
    const current = this.#preferred[side];
    const isDirect = current !== 0 && this.#open[side].get(current) === false;
    if (direct === 'deny' && this.#open[side].size > 0)
      this.fail(`${side}: keeps direct paths although denied`);
    if (direct === 'deny' && current !== 0) this.fail(`${side}: uses a direct path although denied`);
    for (const path of this.#open[side].keys()) {
      const remote = this.#remotes[side].get(path) ?? '';
      if (this.#isRefused(side, remote)) this.fail(`${side}: keeps path ${path} to ${remote}`);
    }
    if (core.mayCarryFlows() !== (direct !== 'require' || isDirect)) this.fail(`${side}: flows ${direct}`);
    if (core.mayCarryFlows('require') !== isDirect) this.fail(`${side}: flows of a service that requires`);
    const { path, reason } = core.verdict();
    if ((path === 'direct') !== isDirect) this.fail(`${side}: verdict ${path} on path ${current}`);
    if (direct === 'deny' && path === 'relayed' && reason !== 'policy')
      this.fail(`${side}: denied, ${reason}`);
    if (direct === 'require' && path === 'relayed') this.fail(`${side}: relayed although direct is required`);
    const { directPaths, ownCandidates, remoteCandidates } = core.stats();
    if (directPaths > 32 || ownCandidates > 16 || remoteCandidates > 16) this.fail(`${side}: over a bound`);
  }

  /** Whether this is where traffic should be once nothing changes any more: undefined where both are fine. */
  isGood(): boolean | undefined {
    const { routes, relay, policy, inUse, paths } = this.#world;
    if (policy.agent.direct === 'deny' || policy.connector.direct === 'deny') return inUse === 0;
    const reachable = routes.filter((route) => this.#isReachable(route));
    const current = paths.get(inUse)?.route;
    if (policy.agent.direct === 'require')
      return reachable.length === 0 ? inUse === 0 : current !== undefined;
    const limit = relay.rttMs * 1.2 + 5;
    const good = reachable.filter(({ rttMs, loss }) => rttMs * 1.06 <= limit * 0.94 && loss < 0.04);
    const best = Math.min(...good.map(({ rttMs }) => rttMs));
    if (good.length > 0) {
      if (relay.loss > 0.04 && current) return current.loss < 0.06;
      return (
        current !== undefined && current.loss < 0.06 && current.rttMs * 0.95 <= Math.max(best * 1.3, best + 6)
      );
    }
    const isHopeless = reachable.every(
      ({ rttMs, loss }) =>
        loss > 0.06 || rttMs * 0.95 > Math.max(limit * 1.1 * 1.06, relay.rttMs * 1.05 * 1.25 + 6),
    );
    return isHopeless && relay.loss < 0.04 ? inUse === 0 : undefined;
  }

  #isReachable({ remote, works, opens }: Route): boolean {
    const { policy } = this.#world;
    const isPrivate = remote.startsWith('10.');
    return works && opens && (!isPrivate || policy.connector.showPrivateAddresses);
  }

  #isRefused(side: PathSide, remote: string): boolean {
    const ip = hostOf(remote);
    const isPrivate = side === 'connector' && !this.#world.policy[side].showPrivateAddresses;
    return check(NEVER, ip) || (isPrivate && check(PRIVATE, ip));
  }

  #shown(side: PathSide, addresses: readonly string[]): void {
    const policy = this.#world.policy[side];
    if (policy.direct === 'deny' && addresses.length > 0)
      this.fail(`${side} shows addresses although denied`);
    for (const address of addresses) {
      const ip = hostOf(address);
      if (check(NEVER, ip)) this.fail(`${side} shows ${address}`);
      if (side === 'connector' && !policy.showPrivateAddresses && check(PRIVATE, ip)) {
        this.fail(`connector shows the private ${address}`);
      }
    }
  }

  #prefers(side: PathSide, path: number): void {
    const open = this.#open[side];
    const before = this.#preferred[side];
    this.#preferred[side] = path;
    if (path !== 0 && !open.has(path)) this.fail(`${side} prefers path ${path}, which is not open`);
    if (path !== 0 && this.#world.policy[side].direct === 'deny')
      this.fail(`${side} goes direct although denied`);
    if (side === 'connector') return;
    const isRequired = this.#world.policy[side].direct === 'require';
    const wasUsable = before === 0 ? this.#relayUp[side] && !isRequired : open.get(before) === false;
    const isForced = !wasUsable || this.#world.policy[side].direct === 'deny';
    if (!isForced) this.#bounded(this.#freeSwitches, MAX_FREE_SWITCHES, 'switches that nothing forced');
  }

  #mostProbes(): number {
    const { now } = this.#world.time;
    const changes = this.#networkChanges.filter((at) => at > now - MINUTE).length;
    return MAX_PROBES + Math.min(2, changes) * PROBES_OF_NETWORK;
  }

  #bounded(times: number[], most: number, what: string): void {
    const { now } = this.#world.time;
    times.push(now);
    const recent = times.filter((at) => at > now - MINUTE);
    if (recent.length > most) this.fail(`${recent.length} ${what} within a minute`);
  }
}

function hostOf(address: string): string {
  return address.replace(/:\d+$/, '').replace(/[[\]]/g, '');
}

function blockList(ranges: readonly (readonly [string, number])[]): BlockList {
  const list = new BlockList();
  for (const [net, bits] of ranges) list.addSubnet(net, bits, isIPv6(net) ? 'ipv6' : 'ipv4');
  return list;
}

function check(list: BlockList, ip: string): boolean {
  return list.check(ip, isIPv6(ip) ? 'ipv6' : 'ipv4');
}
