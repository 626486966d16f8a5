export interface BackoffConfig {
  /** Second try after at most this, in ms; the first is at once. */
  readonly baseMs: number;
  readonly maxMs: number;
  /** Cap during the first `fastMs` after a loss, so that a restarted peer is found soon. */
  readonly fastCapMs: number;
  readonly fastMs: number;
}

export const DEFAULT_BACKOFF: BackoffConfig = {
  baseMs: 250,
  maxMs: 10_000,
  fastCapMs: 1_000,
  fastMs: 30_000,
};

/** Delays between attempts: none before the first, then exponential, jittered over the upper half, capped. */
export class Backoff {
  readonly #config: BackoffConfig;
  #attempts = 0;
  #since = 0;

  constructor(config: BackoffConfig = DEFAULT_BACKOFF) {
    this.#config = config;
  }

  /** Call when the connection was lost or is first wanted: the next delay is 0 and the fast period begins. */
  restart(now: number): void {
    this.#attempts = 0;
    this.#since = now;
  }

  /** True during the first while after a loss, when retries are capped lower. */
  isFast(now: number): boolean {
    return now - this.#since < this.#config.fastMs;
  }

  /**
   * Delay in ms from the attempt before to the next. `random` is uniform in [0, 1). `refused`: somebody is there and says
   * no, so that there is no restart to be found soon.
   */
  next(now: number, random: number, refused = false): number {
    const { baseMs, maxMs, fastCapMs } = this.#config;
    const attempt = this.#attempts++;
    if (attempt === 0) return 0;
    const cap = this.isFast(now) && !refused ? Math.min(fastCapMs, maxMs) : maxMs;
    const full = Math.min(cap, baseMs * 2 ** Math.min(attempt - 1, 20));
    return Math.round(full / 2 + (full / 2) * random);
  }
}
