/** Tokens that come back at `perSecond` up to `burst`, counted in the time that the caller passes in. */
export class TokenBucket {
  readonly #perSecond: number;
  readonly #burst: number;
  #tokens: number;
  #updated: number;

  constructor(perSecond: number, burst: number, now: number) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#tokens = burst;
    this.#updated = now;
  }

  /** Takes one token; false when there is none. */
  take(now: number): boolean {
    const refill = (Math.max(0, now - this.#updated) / 1000) * this.#perSecond;
    this.#tokens = Math.min(this.#burst, this.#tokens + refill);
    this.#updated = Math.max(this.#updated, now);
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
