/** What an echo has seen. Times in ms. */
export interface EchoStats {
  readonly sent: number;
  readonly received: number;
  /** Longest time without an answer, the present one included; since the start or `fresh`. */
  readonly longestGapMs: number;
  readonly lastRttMs: number;
  readonly minRttMs: number;
  /** How it ended, when it did. */
  readonly ended?: string;
}

/** Counts of an echo: numbered questions, numbered answers. */
export class Tally {
  sent = 0;
  received = 0;
  ended: string | undefined;
  readonly #sentAt = new Map<number, number>();
  #lastAnswer = performance.now();
  #longestGap = 0;
  #lastRtt = 0;
  #minRtt = Number.POSITIVE_INFINITY;
  #waiting: { readonly from: number; readonly resolve: () => void; readonly reject: (e: Error) => void }[] =
    [];

  /** Number of the next question. */
  send(): number {
    const number = this.sent++;
    this.#sentAt.set(number, performance.now());
    // Lost ones must not pile up.
    this.#sentAt.delete(number - 100_000);
    return number;
  }

  answer(number: number): void {
    const now = performance.now();
    const at = this.#sentAt.get(number);
    if (at === undefined) return;
    this.#sentAt.delete(number);
    this.received++;
    this.#longestGap = Math.max(this.#longestGap, now - this.#lastAnswer);
    this.#lastAnswer = now;
    this.#lastRtt = now - at;
    this.#minRtt = Math.min(this.#minRtt, now - at);
    for (const waiting of this.#waiting) if (number >= waiting.from) waiting.resolve();
    this.#waiting = this.#waiting.filter(({ from }) => number < from);
  }

  /** The figures when a question asked from now on is answered; rejects when the echo has ended. */
  async alive(): Promise<EchoStats> {
    if (this.ended !== undefined) throw new Error(this.ended);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiting.push({ from: this.sent, resolve, reject });
    await promise;
    return this.stats();
  }

  /** Gaps are measured from now on; one that is under way counts in full. */
  fresh(): void {
    this.#longestGap = 0;
  }

  end(how: string): void {
    this.ended ??= how;
    for (const { reject } of this.#waiting.splice(0)) reject(new Error(this.ended));
  }

  stats(): EchoStats {
    const { sent, received, ended } = this;
    const gap = Math.max(this.#longestGap, performance.now() - this.#lastAnswer);
    return {
      ...{ sent, received, longestGapMs: gap, lastRttMs: this.#lastRtt, minRttMs: this.#minRtt },
      ...(ended !== undefined && { ended }),
    };
  }
}
