interface Event {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
  cancelled: boolean;
}

/** Virtual time in ms: it stands still until events are run, and events of one instant run in order of booking. */
export class VirtualTime {
  #now: number;
  #order = 0;
  readonly #heap: Event[] = [];

  constructor(start = 0) {
    this.#now = start;
  }

  get now(): number {
    return this.#now;
  }

  /** Number of events booked, cancelled ones included until they surface. */
  get pending(): number {
    return this.#heap.length;
  }

  /** Runs `run` at `at`, or now if that is past. Gives a function that takes it off. */
  at(at: number, run: () => void): () => void {
    const event: Event = { at: Math.max(at, this.#now), order: this.#order++, run, cancelled: false };
    this.#push(event);
    return () => {
      event.cancelled = true;
    };
  }

  after(ms: number, run: () => void): () => void {
    return this.at(this.#now + ms, run);
  }

  /** Runs everything up to and including `end`; then it is `end`. */
  runUntil(end: number): void {
    for (let next = this.#heap[0]; next && next.at <= end; next = this.#heap[0]) {
      this.#pop();
      if (next.cancelled) continue;
      this.#now = next.at;
      next.run();
    }
    this.#now = Math.max(this.#now, end);
  }

  run(ms: number): void {
    this.runUntil(this.#now + ms);
  }

  /** Runs until `done` says so, looking after each event; false when `ms` passed before. */
  runWhileNot(done: () => boolean, ms: number): boolean {
    const end = this.#now + ms;
    while (!done()) {
      const next = this.#heap[0];
      if (!next || next.at > end) {
        this.#now = end;
        return done();
      }
      this.#pop();
      if (next.cancelled) continue;
      this.#now = next.at;
      next.run();
    }
    return true;
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let child = heap.push(event) - 1;
    while (child > 0) {
      const parent = (child - 1) >> 1;
      const above = heap[parent] as Event;
      if (isBefore(above, event)) break;
      heap[child] = above;
      child = parent;
    }
    heap[child] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (!last || heap.length === 0) return;
    let parent = 0;
    for (;;) {
      let child = 2 * parent + 1;
      const right = heap[child + 1];
      if (right && isBefore(right, heap[child] as Event)) child++;
      const below = heap[child];
      if (!below || isBefore(last, below)) break;
      heap[parent] = below;
      parent = child;
    }
    heap[parent] = last;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
