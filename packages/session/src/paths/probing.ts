import type { PathTuning } from './io.ts';

/** Why a round is started; counted. */
export type ProbeCause = 'candidates' | 'schedule' | 'network' | 'lost';

/**
 * When to probe: at once after `restart`, then at growing, jittered intervals until `stop`; never more than a token
 * bucket gives, whatever restarts it.
 */
export class ProbeSchedule {
  readonly #tuning: PathTuning;
  readonly #random: () => number;
  #tokens: number;
  #refilledAt: number | undefined;
  #newAt: number | undefined;
  #step = 0;
  #wanted: { readonly at: number; readonly cause: ProbeCause } | undefined;
  #repeat = false;
  /** The first round since the last restart; undefined while it is outstanding. */
  startedAt: number | undefined;

  constructor(tuning: PathTuning, random: () => number) {
    this.#tuning = tuning;
    this.#random = random;
    this.#tokens = tuning.probeBurst;
  }

  /** Probes now, then as scheduled. */
  restart(now: number, cause: ProbeCause): void {
    this.#step = 0;
    this.#repeat = true;
    this.startedAt = undefined;
    this.#wanted = { at: now, cause };
  }

  /** Probes now, once more than scheduled. */
  once(now: number, cause: ProbeCause): void {
    this.#wanted = { at: now, cause };
  }

  /** Another network is another search; but a network that comes and goes is none. */
  refill(now: number): void {
    if (this.#newAt !== undefined && now - this.#newAt < this.#tuning.probeAnewMs) return;
    this.#newAt = now;
    this.#tokens = this.#tuning.probeBurst;
  }

  /** A direct path is in use: nothing more by itself. */
  rest(): void {
    this.#repeat = false;
    if (this.#wanted?.cause === 'schedule') this.#wanted = undefined;
  }

  /** Nothing more until `restart` or `once`. */
  stop(): void {
    this.#repeat = false;
    this.#wanted = undefined;
  }

  /** Whether a round starts now, and why. */
  take(now: number): ProbeCause | undefined {
    if (this.#wanted === undefined || this.#wanted.at > now || !this.#takeToken(now)) return undefined;
    const { cause } = this.#wanted;
    const { probeIntervalsMs } = this.#tuning;
    const interval = probeIntervalsMs[Math.min(this.#step++, probeIntervalsMs.length - 1)] ?? 0;
    const at = now + Math.round(interval * (0.8 + 0.4 * this.#random()));
    this.#wanted = this.#repeat ? { at, cause: 'schedule' } : undefined;
    this.startedAt ??= now;
    return cause;
  }

  /** When `take` may have an answer next. */
  next(now: number): number | undefined {
    if (this.#wanted === undefined) return undefined;
    this.#refill(now);
    const token = this.#tokens > 0 ? now : (this.#refilledAt ?? now) + this.#tuning.probeRefillMs;
    return Math.max(this.#wanted.at, token);
  }

  #takeToken(now: number): boolean {
    this.#refill(now);
    if (this.#tokens === 0) return false;
    this.#tokens--;
    return true;
  }

  #refill(now: number): void {
    const { probeBurst, probeRefillMs } = this.#tuning;
    this.#refilledAt ??= now;
    const more = Math.floor((now - this.#refilledAt) / probeRefillMs);
    if (more <= 0) return;
    this.#tokens = Math.min(probeBurst, this.#tokens + more);
    this.#refilledAt += more * probeRefillMs;
  }
}
