import {
  type Diagnose,
  instant,
  type Loss,
  Outages,
  type Problem,
  refusalRemedy,
  sentenceOf,
} from '@ztna/link';
import type { Logger } from '@ztna/runtime';
import type { CountOutput, EventOutput } from '@ztna/session';
import type { IntermediateEntry } from '@ztna/wire';

const ANY = 'any';
const UNREACHABLE = 'no intermediate can be reached: trying on';

/** Log lines and counters of one agent. */
export class Observer {
  readonly #log: Logger;
  readonly #counters = new Map<string, number>();
  readonly #outages: Outages;

  /** Why the intermediates turn this agent away. */
  #refusal: Problem | undefined;
  /** Whether there was a connection, and how the last one ended if that is known. */
  #worked = false;
  #loss: Loss | undefined;
  /** Where the newest attempt goes. */
  #trying: string | undefined;

  /** `diagnose` finds out why connecting to these intermediates came to nothing. */
  constructor(log: Logger, diagnose: Diagnose) {
    this.#log = log;
    this.#outages = new Outages(log, UNREACHABLE, diagnose);
  }

  /** Why no intermediate is connected; undefined as long as that is not known, and when one is. */
  get problem(): Problem | undefined {
    return this.#refusal ?? this.#outages.problem(ANY);
  }

  /** What is said of no connection until its cause is known. */
  get connectingProblem(): Problem {
    const next = this.#trying === undefined ? '' : `: connecting to ${this.#trying}`;
    if (!this.#worked) return { code: 'connecting', message: `no intermediate is connected yet${next}` };
    if (!this.#loss) return { code: 'connecting', message: `no intermediate is connected any more${next}` };
    const { intermediate, atMs, reason } = this.#loss;
    const message = `the connection to intermediate ${intermediate} was lost at ${instant(atMs)} (${reason})${next}`;
    return { code: 'connecting', message };
  }

  observe(output: EventOutput | CountOutput): void {
    if (output.type === 'count') return this.add(output.metric, output.cause);
    const { level, event, fields } = output;
    this.#loss = this.#outages.heed(output) ?? this.#loss;
    if (event === 'intermediate.connected') {
      this.#worked = true;
      this.reached();
    }
    if (event === 'intermediate.refused' || event === 'intermediate.wrong-identity') {
      this.#refusal = refusalOf(event, fields);
      this.#outages.refused(ANY);
    }
    this.#log[level]({ event, ...fields }, sentenceOf(event));
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
    this.#trying = to.name;
    this.#outages.connecting(to, ANY);
  }

  /** An intermediate is connected, or none is wanted any more. */
  reached(): void {
    this.#refusal = undefined;
    this.#loss = undefined;
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
    remedy: refusalRemedy(String(code)),
  };
}
