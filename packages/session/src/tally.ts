/** Counts by key, and their sum; a key that counts nothing takes no memory. */
export class Tally<K> {
  readonly #counts = new Map<K, number>();
  #total = 0;

  get total(): number {
    return this.#total;
  }

  of(key: K): number {
    return this.#counts.get(key) ?? 0;
  }

  add(key: K, change: 1 | -1) {
    this.#total += change;
    const count = this.of(key) + change;
    if (count > 0) this.#counts.set(key, count);
    else this.#counts.delete(key);
  }
}
