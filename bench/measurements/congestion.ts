// congestion.*: one session over an emulated path, for each pair of congestion controllers (ADR 0009).
import { setTimeout as sleep } from 'node:timers/promises';
import type { Blast, Flow, Generator } from '../load.ts';
import type { Measured } from '../results.ts';
import { Stack, type StackOptions } from '../stack.ts';
import type { BenchContext } from './context.ts';
import { ANY } from './plain.ts';

/** A path between agent and connector; half of its round trip on either side of the intermediate. */
interface Path {
  readonly name: string;
  readonly rttMs: number;
  /** Percent of the packets, each direction, between agent and intermediate. */
  readonly loss?: number;
  /** Bottleneck between agent and intermediate, each direction, with a buffer of one bandwidth-delay product. */
  readonly mbps?: number;
}

const paths: readonly Path[] = [
  ...[0, 20, 80].flatMap((rttMs) =>
    [0, 1, 3].map((loss) => ({ name: `congestion.${rttMs}ms.${loss}pct`, rttMs, loss })),
  ),
  ...[20, 80].map((rttMs) => ({ name: `congestion.${rttMs}ms.200mbit`, rttMs, mbps: 200 })),
];

export const congestionNames = paths.map((path) => path.name);

const controllers = ['cubic', 'newreno', 'bbr3'] as const;
/** Outer and inner controller. */
const pairs = controllers.flatMap((outer) => controllers.map((inner) => [outer, inner] as const));
/** What the second agent has in the comparison. */
const RIVAL = { congestion: 'cubic', sessionCongestion: 'cubic' };
const SERVICE = 'bulk';
const SEED = 7;
/** Seconds: slow start and path-MTU discovery are not what is measured. */
const warmUp = (path: Path) => 1 + (path.rttMs * 15) / 1_000;

export async function measureCongestion(context: BenchContext): Promise<void> {
  for (const path of paths) {
    for (const pair of pairs) {
      await context.run(path.name, () => new Bed(context, path, pair).measure());
    }
  }
}

type Link = Awaited<ReturnType<Generator['serve']>>;

/** One pair of controllers on one path. */
class Bed {
  readonly #context: BenchContext;
  readonly #path: Path;
  readonly #pair: readonly [string, string];

  constructor(context: BenchContext, path: Path, pair: readonly [string, string]) {
    this.#context = context;
    this.#path = path;
    this.#pair = pair;
  }

  async measure(): Promise<void> {
    const { generator } = this.#context;
    const tcp = await generator.serve('backend', 'tcp-server', { listen: ANY });
    await using _tcp = tcp.role;
    const udp = await generator.serve('backend-udp', 'far', { via: 'udp', mode: 'echo', listen: ANY });
    await using _udp = udp.role;
    await using stack = await Stack.start([SERVICE], { tcp: tcp.ready, udp: udp.ready }, this.#options());
    await generator.times('http', { remote: stack.address(SERVICE, 'tcp'), count: 1 }); // opens the session
    if (this.#path.mbps === undefined) await this.#alone(stack);
    else await this.#atBottleneck(stack);
  }

  async #alone(stack: Stack): Promise<void> {
    for (const direction of ['up', 'down']) {
      const { mbps } = await this.#flow(stack.address(SERVICE, 'tcp'), direction);
      this.#report(direction, 'Mbit/s', mbps);
    }
  }

  /** Also: how late is a modest UDP flow beside it, and what share is left beside a second agent. */
  async #atBottleneck(stack: Stack): Promise<void> {
    const { generator } = this.#context;
    const bulk = stack.address(SERVICE, 'tcp');
    for (const direction of ['up', 'down']) {
      const [{ mbps }, beside] = await Promise.all([this.#flow(bulk, direction), this.#beside(stack)]);
      const { p50Us, p99Us, sent, received } = beside;
      this.#report(direction, 'Mbit/s', mbps);
      this.#report(`${direction}.udp`, 'ms', [p50Us / 1_000], { p99Ms: p99Us / 1_000, sent, received });
    }
    await using guest = await stack.startAgent('guest');
    const rival = guest.address(SERVICE, 'tcp');
    await generator.times('http', { remote: rival, count: 1 });
    const [own, other] = await Promise.all([this.#flow(bulk, 'up'), this.#flow(rival, 'up')]);
    const share = own.mbps.map((mbps, i) => (100 * mbps) / (mbps + (other.mbps[i] ?? 0)));
    this.#report('share', '%', share);
  }

  /** 100 datagrams a second while the bulk flow is measured. */
  async #beside(stack: Stack): Promise<Blast> {
    const { generator, repeat, seconds } = this.#context;
    await sleep(warmUp(this.#path) * 1_000);
    const remote = stack.address(SERVICE, 'udp');
    const parameters = { via: 'udp', remote, mode: 'echo', size: 200, rate: 100, seconds: repeat * seconds };
    return generator.blast(parameters);
  }

  #flow(remote: string, direction: string): Promise<Flow> {
    const { generator, seconds, repeat } = this.#context;
    return generator.flow({ remote, direction, warm: warmUp(this.#path), seconds, intervals: repeat });
  }

  #report(what: string, unit: string, samples: readonly number[], notes?: Measured['notes']): void {
    const name = `${this.#path.name}.${this.#pair.join('-')}.${what}`;
    this.#context.report({ name, unit, samples, notes });
  }

  #options(): StackOptions {
    const { generator } = this.#context;
    const { rttMs, loss = 0, mbps = 0 } = this.#path;
    const [congestion, sessionCongestion] = this.#pair;
    const pair = { congestion, sessionCongestion };
    const half = { listen: ANY, delay_us: rttMs * 250, seed: SEED };
    const buffer = Math.round((mbps * 1e6 * rttMs) / 8_000);
    const narrow = { loss, rate_mbps: mbps, buffer };
    let access: Promise<Link> | undefined;
    return {
      transport: { intermediate: pair, connector: pair, agent: pair, guest: RIVAL },
      path: (component, upstream) => {
        if (component === 'connector') return generator.serve('link', 'link', { upstream, ...half });
        // Both agents go through the same bottleneck.
        access ??= generator.serve('link', 'link', { upstream, ...half, ...narrow });
        return access;
      },
    };
  }
}
