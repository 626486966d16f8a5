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
    this.#refill(now);
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  /** As good as a new one. */
  isFull(now: number): boolean {
    this.#refill(now);
    return this.#tokens >= this.#burst;
  }

  #refill(now: number) {
    const refill = (Math.max(0, now - this.#updated) / 1000) * this.#perSecond;
    this.#tokens = Math.min(this.#burst, this.#tokens + refill);
    this.#updated = Math.max(this.#updated, now);
  }
}

/** Buckets above this many are looked through for full ones. */
const LEAST_TO_PRUNE = 256;

/** A token bucket for each key, whether its owner is here or not: who leaves and comes back finds it as it was. */
export class Quotas<K> {
  readonly #perSecond: number;
  readonly #burst: number;
  readonly #buckets = new Map<K, TokenBucket>();
  #pruneAt = LEAST_TO_PRUNE;

  constructor(perSecond: number, burst: number) {
    this.#perSecond = perSecond;
    this.#burst = burst;
  }

  /** Takes one token of this key; false when there is none. */
  take(key: K, now: number): boolean {
    const known = this.#buckets.get(key);
    if (known) return known.take(now);
    if (this.#buckets.size >= this.#pruneAt) this.#prune(now);
    const bucket = new TokenBucket(this.#perSecond, this.#burst, now);
    this.#buckets.set(key, bucket);
    return bucket.take(now);
  }

  get size(): number {
    return this.#buckets.size;
  }

  #prune(now: number) {
    for (const [key, bucket] of this.#buckets) {
      if (bucket.isFull(now)) this.#buckets.delete(key);
    }
    this.#pruneAt = Math.max(LEAST_TO_PRUNE, 2 * this.#buckets.size);
  }
}
