import type { Logger } from '@ztna/runtime';
import type { CountOutput, EventOutput } from '@ztna/session';

/** What the events of the core say to an operator. Those that are not here speak by their own name. */
const SENTENCES: Readonly<Record<string, string>> = {
  'intermediate.connected': 'connected to intermediate',
  'intermediate.lost': 'connection to intermediate lost: connecting again',
  'intermediate.refused':
    'the intermediate refuses this agent: check its certificate and that it is not revoked',
  'intermediate.wrong-identity': 'somebody else answers at the address of the intermediate',
  'intermediate.error': 'the intermediate reports an error',
  'intermediate.going-away': 'the intermediate is going away',
  'session.up': 'session open, path relayed',
  'session.lost': 'session lost',
  'inner.wrong-identity':
    'the peer at the end of the relay is not the connector that was offered: session refused',
  'offer.refused': 'session offer refused',
};

/** A restart of an intermediate is shorter than this, ms. */
const UNREACHABLE_AFTER_MS = 3_000;
const UNREACHABLE = 'no intermediate can be reached: trying on; check the network and that UDP to it is open';

/** Log lines and counters of one agent. */
export class Observer {
  readonly #log: Logger;
  readonly #counters = new Map<string, number>();
  #unreachable: NodeJS.Timeout | undefined;
  /** An intermediate answered, if only to refuse: what is wrong is not the network. */
  #refused = false;

  constructor(log: Logger) {
    this.#log = log;
  }

  event({ level, event, fields }: EventOutput): void {
    if (event === 'intermediate.connected' || event === 'intermediate.refused') {
      this.reached();
      this.#refused = event === 'intermediate.refused';
    }
    this.#log[level]({ event, ...fields }, SENTENCES[event] ?? event);
  }

  count({ metric, cause }: CountOutput): void {
    this.add(metric, cause);
  }

  add(metric: string, cause: string, by = 1): void {
    const name = `${metric}.${cause}`;
    this.#counters.set(name, (this.#counters.get(name) ?? 0) + by);
  }

  /** By `metric.cause`. */
  counters(): Record<string, number> {
    return Object.fromEntries(this.#counters);
  }

  /** An attempt begins and nothing is connected. Said once per outage: attempts go on for as long as it takes. */
  connecting(): void {
    if (this.#refused) return;
    const say = () => this.#log.warn(UNREACHABLE);
    this.#unreachable ??= setTimeout(say, UNREACHABLE_AFTER_MS).unref();
  }

  /** An intermediate is connected, or none is wanted any more. */
  reached(): void {
    clearTimeout(this.#unreachable);
    this.#unreachable = undefined;
  }
}
