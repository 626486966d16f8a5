import { Outages } from '@ztna/link';
import type { Logger } from '@ztna/runtime';
import type { CountOutput, EventOutput } from '@ztna/session';
import type { IntermediateEntry } from '@ztna/wire';

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

const ANY = 'any';
const UNREACHABLE = 'no intermediate can be reached: trying on; check the network and that UDP to it is open';

/** Log lines and counters of one agent. */
export class Observer {
  readonly #log: Logger;
  readonly #counters = new Map<string, number>();
  readonly #outages: Outages;

  constructor(log: Logger) {
    this.#log = log;
    this.#outages = new Outages(log, UNREACHABLE);
  }

  event({ level, event, fields }: EventOutput): void {
    if (event === 'intermediate.connected') this.reached();
    if (event === 'intermediate.refused') this.#outages.refused(ANY);
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

  /** An attempt begins and nothing is connected: one outage, whichever intermediate is tried. */
  connecting(to: IntermediateEntry): void {
    this.#outages.connecting(to, ANY);
  }

  /** An intermediate is connected, or none is wanted any more. */
  reached(): void {
    this.#outages.over(ANY);
  }
}
