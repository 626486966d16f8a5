import type { Logger } from '@ztna/runtime';
import { formatAddress } from '@ztna/runtime';
import type { EventOutput } from '@ztna/session';
import type { IntermediateEntry } from '@ztna/wire';
import { type Loss, whyUnreachable } from './reachability.ts';
import { instant, type Problem } from './status.ts';

/** A restart of an intermediate is shorter than this, ms. */
const UNREACHABLE_AFTER_MS = 3_000;
/** While it lasts, the cause is looked for again at attempts so far apart, ms. */
const AGAIN_AFTER_MS = 10_000;

/** Finds out why connecting to these intermediates came to nothing. */
export type Diagnose = (
  tried: readonly IntermediateEntry[],
  losses: ReadonlyMap<string, Loss>,
) => Promise<Problem>;

interface Outage {
  readonly beganMs: number;
  timer: NodeJS.Timeout | undefined;
  /** Where attempts of it went. */
  readonly tried: Map<string, IntermediateEntry>;
  problem: Problem | undefined;
  /** Somebody answered, to refuse: what is wrong is not the network. */
  refused: boolean;
  looking: boolean;
  lookedAt: number;
}

/**
 * Warns once of each outage and of each other cause, not at each of its attempts: they go on for as long as it takes.
 * Keeps the cause for `status`.
 */
export class Outages implements Disposable {
  readonly #log: Logger;
  readonly #sentence: string;
  readonly #diagnose: Diagnose;
  readonly #outages = new Map<string, Outage>();
  /** How the last connection to an intermediate ended, by its name. */
  readonly #losses = new Map<string, Loss>();

  /** `sentence` is the message of the warning; its fields tell the cause, and where attempts went. */
  constructor(log: Logger, sentence: string, diagnose: Diagnose = whyUnreachable) {
    this.#log = log;
    this.#sentence = sentence;
    this.#diagnose = diagnose;
  }

  /** An attempt begins and nothing is connected. `name` tells apart what may be out of reach at once. */
  connecting(to: IntermediateEntry, name: string = to.name): void {
    const outage = this.#outages.get(name) ?? this.#begin(name);
    outage.tried.set(to.name, to);
    const isDue = outage.problem && performance.now() - outage.lookedAt >= AGAIN_AFTER_MS;
    if (isDue && !outage.refused) void this.#look(name, outage);
  }

  /** Somebody answered, to refuse: what is wrong is not the network. Nothing is said until this is over. */
  refused(name: string): void {
    const outage = this.#outages.get(name) ?? this.#begin(name);
    clearTimeout(outage.timer);
    outage.refused = true;
    outage.problem = undefined;
  }

  /** Takes from an event of the core that a connection was made, or how it ended. */
  heed({ event, fields }: EventOutput): Loss | undefined {
    const { intermediate, reason, code } = fields;
    if (event === 'intermediate.connected') this.connected(`${intermediate}`);
    if (event !== 'intermediate.lost') return undefined;
    return this.lost(`${intermediate}`, `${reason}`, code === undefined ? code : `${code}`);
  }

  /** A connection that worked ended: `code` is the error with which the intermediate closed it, when it did. */
  lost(intermediate: string, reason: string, code?: string): Loss {
    const loss = { intermediate, reason, atMs: Date.now(), stopped: code === 'going-away' };
    this.#losses.set(intermediate, loss);
    return loss;
  }

  /** What was known of how the last connection ended does not matter any more. */
  connected(intermediate: string): void {
    this.#losses.delete(intermediate);
  }

  /** Connected, or nothing is wanted any more: the next attempt begins another outage. */
  over(name: string): void {
    clearTimeout(this.#outages.get(name)?.timer);
    this.#outages.delete(name);
  }

  /** Why an outage goes on, once that has been told; undefined before, and when there is none. */
  problem(name: string): Problem | undefined {
    return this.#outages.get(name)?.problem;
  }

  /** Of all outages. */
  problems(): Problem[] {
    return [...this.#outages.values()].flatMap(({ problem }) => problem ?? []);
  }

  [Symbol.dispose](): void {
    for (const name of [...this.#outages.keys()]) this.over(name);
  }

  #begin(name: string): Outage {
    const outage: Outage = {
      beganMs: Date.now(),
      ...{ timer: undefined, tried: new Map(), problem: undefined },
      ...{ refused: false, looking: false, lookedAt: 0 },
    };
    outage.timer = setTimeout(() => void this.#look(name, outage), UNREACHABLE_AFTER_MS).unref();
    this.#outages.set(name, outage);
    return outage;
  }

  async #look(name: string, outage: Outage): Promise<void> {
    if (outage.looking) return;
    outage.looking = true;
    const tried = [...outage.tried.values()];
    const problem = await this.#diagnose(tried, this.#losses);
    outage.looking = false;
    outage.lookedAt = performance.now();
    if (this.#outages.get(name) !== outage || outage.refused) return;
    const isNew = outage.problem?.code !== problem.code;
    const since = instant(outage.beganMs);
    outage.problem = { ...problem, since };
    if (!isNew) return;
    const { code, message: cause, remedy } = problem;
    const addresses = tried.flatMap((entry) => entry.addresses.map(formatAddress));
    const intermediate = tried.map((entry) => entry.name).join(', ');
    const event = 'intermediate.unreachable';
    this.#log.warn({ event, intermediate, addresses, since, code, cause, remedy }, this.#sentence);
  }
}
