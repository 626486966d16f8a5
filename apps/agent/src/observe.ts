import { Outages, type Problem } from '@ztna/link';
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
  'session.up': 'session open, at first relayed',
  'session.lost': 'session lost',
  'inner.wrong-identity':
    'the peer at the end of the relay is not the connector that was offered: session refused',
  'offer.refused': 'session offer refused',
};

const ANY = 'any';
const UNREACHABLE = 'no intermediate can be reached: trying on';

/** Log lines and counters of one agent. */
export class Observer {
  readonly #log: Logger;
  readonly #counters = new Map<string, number>();
  readonly #outages: Outages;

  /** Why the intermediates turn this agent away. */
  #refusal: Problem | undefined;

  /** `diagnose` finds out why connecting to these intermediates came to nothing. */
  constructor(log: Logger, diagnose: (tried: readonly IntermediateEntry[]) => Promise<Problem>) {
    this.#log = log;
    this.#outages = new Outages(log, UNREACHABLE, diagnose);
  }

  /** Why no intermediate is connected; undefined as long as that is not known, and when one is. */
  get problem(): Problem | undefined {
    return this.#refusal ?? this.#outages.problem(ANY);
  }

  observe(output: EventOutput | CountOutput): void {
    if (output.type === 'count') return this.add(output.metric, output.cause);
    const { level, event, fields } = output;
    if (event === 'intermediate.connected') this.reached();
    if (event === 'intermediate.refused' || event === 'intermediate.wrong-identity') {
      this.#refusal = refusalOf(event, fields);
      this.#outages.refused(ANY);
    }
    this.#log[level]({ event, ...fields }, SENTENCES[event] ?? event);
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
    this.#refusal = undefined;
    this.#outages.over(ANY);
  }
}

function refusalOf(event: string, fields: EventOutput['fields']): Problem {
  if (event === 'intermediate.wrong-identity') {
    const message = `${fields.got} answers at the address of ${fields.expected}`;
    return { code: 'wrong-identity', message, remedy: 'compare the address in the document that was signed' };
  }
  const { code, message, intermediate } = fields;
  return {
    code: String(code),
    message: `intermediate ${intermediate} refuses this agent: ${message}`,
    remedy: 'check its certificate, that it is not revoked, and the log of the intermediate',
  };
}
