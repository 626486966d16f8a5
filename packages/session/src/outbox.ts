/** First-in first-out queue of outputs; taking is O(1) amortised. */
export class Outbox<Output> {
  #items: Output[] = [];
  #head = 0;

  push(output: Output): void {
    this.#items.push(output);
  }

  take(): Output | undefined {
    const output = this.#items[this.#head];
    if (output === undefined) return undefined;
    this.#head++;
    if (this.#head === this.#items.length) {
      this.#items = [];
      this.#head = 0;
    }
    return output;
  }
}
