interface Entry<Timer> {
  readonly key: string;
  readonly at: number;
  readonly timer: Timer;
}

/** Deadlines by key in virtual or real time: a binary heap, stale entries dropped when they surface. */
export class Timers<Timer> {
  readonly #heap: Entry<Timer>[] = [];
  readonly #current = new Map<string, Entry<Timer>>();

  /** Number of timers that are set. */
  get size(): number {
    return this.#current.size;
  }

  /** Sets or moves the timer `key` to `at` (ms). */
  set(key: string, at: number, timer: Timer): void {
    const entry = { key, at, timer };
    this.#current.set(key, entry);
    this.#push(entry);
    if (this.#heap.length > 64 && this.#heap.length > 4 * this.#current.size) this.#rebuild();
  }

  cancel(key: string): void {
    this.#current.delete(key);
  }

  has(key: string): boolean {
    return this.#current.has(key);
  }

  /** The earliest deadline, or undefined. */
  next(): number | undefined {
    this.#dropStale();
    return this.#heap[0]?.at;
  }

  /** Takes one timer that is due at `now`; call until undefined. */
  takeDue(now: number): Timer | undefined {
    this.#dropStale();
    const top = this.#heap[0];
    if (top === undefined || top.at > now) return undefined;
    this.#current.delete(top.key);
    this.#pop();
    return top.timer;
  }

  #dropStale(): void {
    while (this.#heap[0] !== undefined && this.#current.get(this.#heap[0].key) !== this.#heap[0]) this.#pop();
  }

  #rebuild(): void {
    const live = [...this.#current.values()];
    this.#heap.length = 0;
    for (const entry of live) this.#push(entry);
  }

  #push(entry: Entry<Timer>): void {
    const heap = this.#heap;
    let child = heap.push(entry) - 1;
    while (child > 0) {
      const parent = (child - 1) >> 1;
      const above = heap[parent] as Entry<Timer>;
      if (above.at <= entry.at) break;
      heap[child] = above;
      child = parent;
    }
    heap[child] = entry;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let parent = 0;
    for (;;) {
      let child = 2 * parent + 1;
      const right = heap[child + 1];
      if (right !== undefined && right.at < (heap[child] as Entry<Timer>).at) child++;
      const below = heap[child];
      if (below === undefined || below.at >= last.at) break;
      heap[parent] = below;
      parent = child;
    }
    heap[parent] = last;
  }
}
