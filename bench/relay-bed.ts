import { join } from 'node:path';
import type { TransportOptions } from '@ztna/quic';
import { Identities, type IdentityFiles } from './identities.ts';
import type { Generator, Parameters } from './load.ts';
import { Role } from './process.ts';
import type { RelaySettings } from './relay-role.ts';

/** As the configuration's defaults. */
const transport: TransportOptions = { initialMtu: 1200, maxMtu: 1452 };

/** A slowed relay runs an eighth of the time. */
const SLOWED = { run_us: 250, halt_us: 1_750 };

/** What the far end does: sends back, or counts. */
export type Mode = 'echo' | 'sink';

export interface RelayStats {
  readonly udp: { rxPackets: number; rxCalls: number; txPackets: number; txCalls: number };
  readonly threadCpuMs: number;
  readonly loopLagP99Ms: number;
  readonly loops: number;
  readonly far: Readonly<Record<string, { mtu: number; congestionWindow: number } | undefined>>;
}

/** A relay with an echoing and a counting far end. */
export class RelayBed implements AsyncDisposable {
  readonly address: string;
  readonly retrying: string;
  /** Answers `stats` and `memory` (`Role.ask`). */
  readonly relay: Role;
  /** The relay and the far ends; near sides come and go. */
  readonly roles: readonly Role[];
  readonly #near: Parameters;
  readonly #identities: Identities;
  readonly #stack: AsyncDisposableStack;

  private constructor(started: Started, stack: AsyncDisposableStack) {
    this.address = started.addresses.address;
    this.retrying = started.addresses.retrying;
    this.relay = started.relay;
    this.roles = [started.relay, ...started.far];
    this.#near = started.near;
    this.#identities = started.identities;
    this.#stack = stack;
  }

  static async start(generator: Generator): Promise<RelayBed> {
    await using stack = new AsyncDisposableStack();
    const identities = stack.use(await Identities.make());
    const settings: RelaySettings = { ...(await identities.issue('relay', 'intermediate/i')), transport };
    const script = join(import.meta.dirname, 'relay-role.ts');
    const args = ['--expose-gc', script, JSON.stringify(settings)];
    const relay = stack.use(await Role.start('relay', process.execPath, args));
    const addresses = JSON.parse(await relay.line()) as Addresses;
    const quic = { via: 'quic', remote: addresses.address, initial_mtu: 1200, max_mtu: 1452 };
    const farFiles = await identities.issue('far', 'connector/s/c');
    const far: Role[] = [];
    for (const mode of ['echo', 'sink']) {
      const parameters = { ...quic, ...farFiles, mode, alpn: `far-${mode}`, size: 1200 };
      const { role } = await generator.serve(mode, 'far', parameters);
      far.push(stack.use(role));
    }
    const near = { ...quic, ...(await identities.issue('near', 'agent/a')) };
    return new RelayBed({ addresses, relay, far, near, identities }, stack.move());
  }

  near(mode: Mode): Parameters {
    return { ...this.#near, alpn: `near-${mode}` };
  }

  /** Identities of `count` agents, for connections that are there and do nothing. */
  async issueAgents(count: number): Promise<IdentityFiles[]> {
    const agents: IdentityFiles[] = [];
    for (let i = 0; i < count; i++) agents.push(await this.#identities.issue(`a${i}`, `agent/a${i}`));
    return agents;
  }

  /** Slows the relay until disposed, so that two cores can offer it more than it can carry. */
  async slowed(generator: Generator): Promise<AsyncDisposable> {
    return (await generator.serve('slow', 'slow', { pid: this.relay.pid, ...SLOWED })).role;
  }

  async relayStats(): Promise<RelayStats> {
    return (await this.relay.ask('stats')) as RelayStats;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

interface Addresses {
  readonly address: string;
  readonly retrying: string;
}

interface Started {
  readonly addresses: Addresses;
  readonly relay: Role;
  readonly far: readonly Role[];
  readonly near: Parameters;
  readonly identities: Identities;
}
