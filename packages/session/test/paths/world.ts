import { Rng, VirtualTime } from '@ztna/sim';
import type { DirectPaths } from '@ztna/wire';
import { PathCore } from '../../src/paths/core.ts';
import type { LocalAddress, PathInput, PathOutput, PathSettings, PathSide } from '../../src/paths/io.ts';
import { type Driven, drive } from '../simulation/drive.ts';
import { Model } from './model.ts';

/** Signalling between the sides, one way. */
const LATENCY_MS = 20;
/** After so long without an answer a path in use is dead; a backup is found out by its keep-alive. */
const DEAD_MS = 300;
const BACKUP_DEAD_MS = 15_000;
const PACKETS_PER_MS = 0.3;

/** What lies between two sockets; `remote` is the connector's address, by which the agent would reach it. */
export interface Route {
  readonly remote: string;
  readonly agentSeenAs: string;
  rttMs: number;
  loss: number;
  works: boolean;
  /** Whether NATs let probes of both sides through at all. */
  opens: boolean;
}

interface OpenPath {
  readonly id: number;
  readonly route: Route;
  sent: number;
  lost: number;
  isDead: boolean;
  cancel: () => void;
}

export const SETTINGS: PathSettings = {
  enabled: true,
  interfaces: { allow: ['*'], deny: ['docker*', 'ztna*'] },
  addresses: [],
  virtualRanges: ['100.64.0.0/10', 'fd5a::/48'],
  allowLoopback: false,
};

const LOCAL: Readonly<Record<PathSide, readonly LocalAddress[]>> = {
  agent: [
    { interface: 'lo', address: '127.0.0.1', prefix: 8 },
    { interface: 'wlan0', address: '192.168.7.20', prefix: 24 },
    { interface: 'wlan0', address: '2001:db8:a::20', prefix: 64 },
    { interface: 'docker0', address: '172.17.0.1', prefix: 16 },
    { interface: 'ztna0', address: '100.64.0.2', prefix: 10 },
  ],
  connector: [
    { interface: 'lo', address: '::1', prefix: 128 },
    { interface: 'eth0', address: '10.1.0.5', prefix: 24 },
    { interface: 'eth0', address: '2001:db8:c::5', prefix: 64 },
    { interface: 'eth0', address: 'fe80::5', prefix: 64 },
    { interface: 'docker0', address: '172.17.0.1', prefix: 16 },
  ],
};

/** Two cores, the engine between them as far as paths go, and a network in which anything may happen. */
export class World {
  readonly time = new VirtualTime(1_000_000);
  readonly rng: Rng;
  readonly model: Model;
  readonly cores: Readonly<Record<PathSide, PathCore>>;
  readonly routes: readonly Route[];
  readonly relay = { rttMs: 40, loss: 0, up: true, sent: 0, lost: 0 };
  readonly paths = new Map<number, OpenPath>();
  readonly policy: Record<PathSide, { direct: DirectPaths; showPrivateAddresses: boolean }>;
  readonly #driven: Readonly<Record<PathSide, Driven<PathInput>>>;
  /** Where the engine of the agent sends now. */
  inUse = 0;
  /** What each core ordered last. */
  readonly preferred: Record<PathSide, number> = { agent: 0, connector: 0 };
  #shown: readonly string[] = [];
  #told: readonly string[] = [];
  #nextPath = 1;
  #sampledAt = this.time.now;

  constructor(seed: number, direct: DirectPaths = 'allow') {
    this.rng = new Rng(seed);
    const rng = this.rng.fork();
    const showPrivateAddresses = rng.chance(0.5);
    this.policy = {
      agent: { direct, showPrivateAddresses: true },
      connector: { direct: 'allow', showPrivateAddresses },
    };
    this.routes = [
      { remote: '[2001:db8:c::5]:4433', agentSeenAs: '[2001:db8:a::20]:5000' },
      { remote: '203.0.113.5:4433', agentSeenAs: '198.51.100.20:5000' },
      { remote: '10.1.0.5:4433', agentSeenAs: '192.168.7.20:5000' },
    ].map((ends) => ({ ...ends, rttMs: 10 + rng.int(80), loss: 0, works: true, opens: rng.chance(0.8) }));
    this.model = new Model(this);
    const core = (side: PathSide) => {
      const random = this.rng.fork();
      return new PathCore({
        side,
        settings: SETTINGS,
        policy: this.policy[side],
        random: () => random.next(),
      });
    };
    this.cores = { agent: core('agent'), connector: core('connector') };
    const driven = (side: PathSide) =>
      drive(
        this.cores[side],
        this.time,
        (output) => this.#carryOut(side, output),
        () => this.model.settled(side),
      );
    this.#driven = { agent: driven('agent'), connector: driven('connector') };
  }

  /** Both sides learn their addresses. */
  start(): void {
    for (const side of ['agent', 'connector'] as const) {
      this.input(side, { type: 'local', addresses: LOCAL[side], port: side === 'agent' ? 5000 : 4433 });
    }
    this.observe('agent', 'i1', '198.51.100.20:5000');
    this.observe('connector', 'i1', '203.0.113.5:4433');
    this.observe('connector', 'i2', '203.0.113.5:4433');
  }

  input(side: PathSide, input: PathInput): void {
    this.model.sees(side, input);
    this.#driven[side].input(input);
  }

  observe(side: PathSide, by: string, address: string | undefined): void {
    this.input(side, { type: 'observed', by, address });
  }

  setPolicy(side: PathSide, direct: DirectPaths): void {
    this.policy[side] = { ...this.policy[side], direct };
    this.input(side, { type: 'policy', ...this.policy[side] });
  }

  setRelay(up: boolean): void {
    if (this.relay.up === up) return;
    this.relay.up = up;
    for (const side of ['agent', 'connector'] as const) {
      this.input(side, { type: up ? 'relay-back' : 'relay-lost' });
    }
    if (up) this.#tellCandidates();
    this.#reroute();
  }

  setRoute(route: Route, works: boolean): void {
    if (route.works === works) return;
    route.works = works;
    for (const path of this.paths.values()) if (path.route === route) this.#watch(path);
  }

  /** A peer that shows what it likes. */
  hostileCandidates(addresses: readonly string[]): void {
    this.input('agent', { type: 'remote-candidates', addresses });
  }

  /** The other side of a path sends from another address: what it may, and what it may not. */
  move(side: PathSide, remote: string): void {
    const path = this.rng.pick([...this.paths.keys(), 0]);
    if (path !== 0) this.input(side, { type: 'path-moved', path, remote });
  }

  /** The connector's true candidates, after a hostile peer was simulated. */
  tellAgain(): void {
    this.#told = [];
    this.#tellCandidates();
  }

  /** Whether the path that traffic takes carries packets. */
  get isCarried(): boolean {
    if (this.inUse === 0) return this.relay.up;
    return this.paths.get(this.inUse)?.route.works ?? false;
  }

  #carryOut(side: PathSide, output: PathOutput): void {
    this.model.output(side, output);
    switch (output.type) {
      case 'show-candidates':
        if (side === 'connector') {
          this.#shown = output.addresses;
          this.#tellCandidates();
        }
        return;
      case 'probe':
        return this.#probe();
      case 'prefer':
        this.preferred[side] = output.path;
        if (side === 'agent') this.#prefer(output.path);
        return;
      case 'close-path':
        return this.#close(output.path);
      case 'ask-samples':
        return this.#sample(side);
      case 'hello': {
        const { nat, directAllowed, candidates } = output;
        const hello = { type: 'peer-hello', nat, directAllowed, candidates } as const;
        this.#signal(() => this.input(side === 'agent' ? 'connector' : 'agent', hello));
        return;
      }
      default:
    }
  }

  #tellCandidates(): void {
    this.#signal(() => {
      if (this.#told.join() === this.#shown.join()) return;
      this.#told = this.#shown;
      this.input('agent', { type: 'remote-candidates', addresses: this.#told });
    });
  }

  /** Reaches the other side when any path lives then. */
  #signal(run: () => void): void {
    this.time.after(LATENCY_MS, () => {
      if (this.relay.up || this.isCarried) run();
      else this.time.after(1_000, () => this.#signal(run));
    });
  }

  #probe(): void {
    for (const route of this.routes) {
      if (!this.#told.includes(route.remote) || !route.works || !route.opens) continue;
      this.time.after(1.5 * route.rttMs, () => this.#open(route));
    }
  }

  #open(route: Route): void {
    const exists = [...this.paths.values()].some((path) => path.route === route && !path.isDead);
    if (exists || !route.works) return;
    const path = { id: this.#nextPath++, route, sent: 0, lost: 0, isDead: false, cancel: () => {} };
    this.paths.set(path.id, path);
    this.input('agent', { type: 'path-opened', path: path.id, remote: route.remote });
    this.input('connector', { type: 'path-opened', path: path.id, remote: route.agentSeenAs });
  }

  #close(id: number): void {
    const path = this.paths.get(id);
    if (!path) return;
    path.cancel();
    this.paths.delete(id);
    for (const side of ['agent', 'connector'] as const) this.#later(side, { type: 'path-closed', path: id });
    this.#reroute();
  }

  #prefer(id: number): void {
    this.inUse = id;
    for (const path of this.paths.keys()) {
      this.#later('connector', { type: 'path-status', path, backup: path !== id });
    }
    const path = this.paths.get(id);
    if (path) this.#watch(path);
  }

  #later(side: PathSide, input: PathInput): void {
    this.time.after(side === 'agent' ? 1 : LATENCY_MS, () => this.input(side, input));
  }

  /** Books what the engine finds out about a path by itself. */
  #watch(path: OpenPath): void {
    path.cancel();
    const { works } = path.route;
    if (works !== path.isDead) return;
    const delay = works ? 1_000 : this.inUse === path.id ? DEAD_MS : BACKUP_DEAD_MS;
    path.cancel = this.time.after(delay, () => {
      if (!this.paths.has(path.id)) return;
      path.isDead = !works;
      const input = { type: works ? 'path-alive' : 'path-dead', path: path.id } as const;
      this.input('agent', input);
      this.#later('connector', input);
      this.#reroute();
    });
  }

  /** The engine's reflex: traffic on a path that is gone or dead goes to another that lives. */
  #reroute(): void {
    const path = this.paths.get(this.inUse);
    if (this.inUse === 0 ? this.relay.up : path && !path.isDead) return;
    const living = [...this.paths.values()].find(({ isDead }) => !isDead);
    this.inUse = this.relay.up ? 0 : (living?.id ?? this.inUse);
  }

  #sample(side: PathSide): void {
    const elapsed = this.time.now - this.#sampledAt;
    this.#sampledAt = this.time.now;
    const jittered = (rttMs: number) => rttMs * (0.95 + 0.1 * this.rng.next());
    const carry = (counts: { sent: number; lost: number }, isUsed: boolean, loss: number) => {
      const packets = elapsed * (isUsed ? PACKETS_PER_MS : 0.001);
      counts.sent += packets;
      counts.lost += packets * loss;
    };
    carry(this.relay, this.inUse === 0, this.relay.loss);
    const all = [
      { path: 0, rttMs: jittered(this.relay.rttMs), sent: this.relay.sent, lost: this.relay.lost, mtu: 1400 },
    ];
    for (const path of this.paths.values()) {
      carry(path, this.inUse === path.id, path.route.loss);
      all.push({
        path: path.id,
        rttMs: jittered(path.route.rttMs),
        sent: path.sent,
        lost: path.lost,
        mtu: 1400,
      });
    }
    this.time.after(0, () => this.input(side, { type: 'samples', samples: all }));
  }
}
