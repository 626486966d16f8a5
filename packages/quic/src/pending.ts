/** Longest interval of a timer. */
const FOREVER_MS = 2 ** 31 - 1;

/** Keeps the process alive while something is under way, and only then. */
export class Pending {
  #count = 0;
  #timer: NodeJS.Timeout | undefined;

  async hold<T>(operation: Promise<T>): Promise<T> {
    this.#count += 1;
    this.#timer ??= setInterval(() => {}, FOREVER_MS);
    try {
      return await operation;
    } finally {
      this.#count -= 1;
      if (this.#count === 0) {
        clearInterval(this.#timer);
        this.#timer = undefined;
      }
    }
  }
}
