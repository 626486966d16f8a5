import type { Logger } from '@ztna/runtime';
import { formatAddress } from '@ztna/runtime';
import type { IntermediateEntry } from '@ztna/wire';

/** A restart of an intermediate is shorter than this, ms. */
const UNREACHABLE_AFTER_MS = 3_000;

/** Warns once of each outage, not at each of its attempts: they go on for as long as it takes. */
export class Outages {
  readonly #log: Logger;
  readonly #sentence: string;
  readonly #timers = new Map<string, NodeJS.Timeout | undefined>();

  /** `sentence` is the message of the warning; its fields tell where the first attempt of the outage went. */
  constructor(log: Logger, sentence: string) {
    this.#log = log;
    this.#sentence = sentence;
  }

  /** An attempt begins and nothing is connected. `outage` tells apart what may be out of reach at once. */
  connecting({ name: intermediate, addresses }: IntermediateEntry, outage: string = intermediate): void {
    if (this.#timers.has(outage)) return;
    const say = () =>
      this.#log.warn({ intermediate, addresses: addresses.map(formatAddress) }, this.#sentence);
    this.#timers.set(outage, setTimeout(say, UNREACHABLE_AFTER_MS).unref());
  }

  /** Somebody answered, to refuse: what is wrong is not the network. Nothing is said until this is over. */
  refused(outage: string): void {
    clearTimeout(this.#timers.get(outage));
    this.#timers.set(outage, undefined);
  }

  /** Connected, or nothing is wanted any more: the next attempt begins another outage. */
  over(outage: string): void {
    clearTimeout(this.#timers.get(outage));
    this.#timers.delete(outage);
  }

  [Symbol.dispose](): void {
    for (const outage of [...this.#timers.keys()]) this.over(outage);
  }
}
