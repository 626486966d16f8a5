import type { Times } from '../load.ts';
import { median } from '../results.ts';
import { highestRate } from '../search.ts';
import { type BenchContext, times } from './context.ts';

const PINGS = 1_000;
export const START_RATE = 40_000;
export const MAX_RATE = 8_000_000;

/** Figures of plain UDP and TCP between the same kind of processes, each measured once when it is asked for. */
export class Plain {
  readonly #context: BenchContext;
  readonly #known = new Map<string, Promise<number>>();

  constructor(context: BenchContext) {
    this.#context = context;
  }

  /** Median round trip, µs. */
  rtt(): Promise<number> {
    return this.#once('rtt', (mode) => this.#roundTrips(mode));
  }

  /** Highest rate with less than 1 % lost, datagrams per second. */
  rate(mode: 'echo' | 'sink', size: number): Promise<number> {
    return this.#once(`${mode}.${size}`, () => this.#highest(mode, size));
  }

  /** Mbit/s. */
  tcp(direction: 'up' | 'down', streams: number): Promise<number> {
    return this.#once(`tcp.${direction}.${streams}`, () => this.#transfer(direction, streams));
  }

  /** Median of a new connection and the first byte of a small response, µs. */
  http(): Promise<number> {
    return this.#once('http', () => this.#http());
  }

  #once(key: string, measure: (key: string) => Promise<number>): Promise<number> {
    const known = this.#known.get(key) ?? measure(key);
    this.#known.set(key, known);
    return known;
  }

  async #roundTrips(_key: string): Promise<number> {
    const { generator, repeat } = this.#context;
    const { role, ready } = await generator.serve('echo', 'far', { via: 'udp', mode: 'echo', listen: ANY });
    await using _ = role;
    const parameters = { via: 'udp', remote: ready, size: 64, count: PINGS };
    return p50(await times(repeat, () => generator.times('rtt', parameters)));
  }

  async #highest(mode: 'echo' | 'sink', size: number): Promise<number> {
    const { generator, seconds, say } = this.#context;
    const { role, ready } = await generator.serve(mode, 'far', { via: 'udp', mode, listen: ANY });
    await using _ = role;
    const run = (rate: number) =>
      generator.blast({ via: 'udp', remote: ready, mode, size, rate: Math.round(rate), seconds });
    const found = await highestRate(run, { start: START_RATE * 4, max: MAX_RATE, repeat: 1 });
    say(`plain UDP ${mode} ${size}: ${Math.round(found.samples[0] ?? 0)}/s (limit: ${found.limit})`);
    return found.samples[0] ?? 0;
  }

  async #transfer(direction: string, streams: number): Promise<number> {
    const { generator, seconds, repeat } = this.#context;
    const { role, ready } = await generator.serve('server', 'tcp-server', { listen: ANY });
    await using _ = role;
    const parameters = { remote: ready, direction, streams, seconds };
    const transfers = await times(repeat, () => generator.transfer(parameters));
    return median(transfers.map((t) => t.mbps));
  }

  async #http(): Promise<number> {
    const { generator, repeat } = this.#context;
    const { role, ready } = await generator.serve('server', 'tcp-server', { listen: ANY });
    await using _ = role;
    return p50(await times(repeat, () => generator.times('http', { remote: ready, count: 300 })));
  }
}

export const ANY = '127.0.0.1:0';
/** A backend that is never used. */
export const NOWHERE = '127.0.0.1:9';

export function p50(all: readonly Times[]): number {
  return median(all.map((t) => t.p50Us));
}
