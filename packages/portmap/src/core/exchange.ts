/**
 * When a request is sent: RFC 6886 section 3.1 (250 ms, doubled). PCP is asked in the same rhythm: its own 3 s
 * (RFC 6887 section 8.1.1) would allow a single try, and both ask the first hop.
 */
export const sendAtMs: readonly number[] = [0, 250, 750];
export const giveUpMs = 900;

/** One request to the gateway over UDP, repeated until it is answered or given up. */
export class Exchange {
  readonly bytes: Uint8Array;
  readonly #startedAt: number;
  #sent = 0;

  constructor(bytes: Uint8Array, now: number) {
    this.bytes = bytes;
    this.#startedAt = now;
  }

  /** What is due: to send `bytes`, to give up, or nothing. */
  next(now: number): 'send' | 'give-up' | undefined {
    if (now < this.pollTimeout()) return undefined;
    if (this.#sent >= sendAtMs.length) return 'give-up';
    // A timer that came late must not send twice at once.
    while (this.#sent < sendAtMs.length && this.pollTimeout() <= now) this.#sent++;
    return 'send';
  }

  pollTimeout(): number {
    return this.#startedAt + (sendAtMs[this.#sent] ?? giveUpMs);
  }
}
