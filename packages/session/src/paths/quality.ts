import type { PathSample, PathTuning } from './io.ts';

/** What was measured of one path: the newest RTT and MTU, and loss over windows of enough packets. */
export class Quality {
  readonly #tuning: PathTuning;
  rttMs: number | undefined;
  /** The least so far: as long as a path rests, the newest holds the waits of its opening. */
  minRttMs: number | undefined;
  mtu: number | undefined;
  /** Samples taken so far. */
  samples = 0;
  #window: { readonly sent: number; readonly lost: number } | undefined;
  #loss: { readonly share: number; readonly at: number } | undefined;

  constructor(tuning: PathTuning) {
    this.#tuning = tuning;
  }

  add({ rttMs, minRttMs, sent, lost, mtu }: PathSample, now: number): void {
    if (Number.isFinite(rttMs) && rttMs >= 0) {
      this.rttMs = rttMs;
      this.minRttMs = minRttMs !== undefined && minRttMs >= 0 ? Math.min(minRttMs, rttMs) : rttMs;
      this.samples++;
    }
    this.mtu = mtu;
    const before = this.#window;
    if (before === undefined || sent < before.sent || lost < before.lost) {
      this.#window = { sent, lost };
      return;
    }
    const packets = sent - before.sent;
    if (packets < this.#tuning.lossPackets) return;
    this.#loss = { share: Math.min(1, (lost - before.lost) / packets), at: now };
    this.#window = { sent, lost };
  }

  /** Share of packets lost in the last whole window; undefined when that is too long ago. */
  loss(now: number): number | undefined {
    if (this.#loss === undefined || now - this.#loss.at >= this.#tuning.lossMemoryMs) return undefined;
    return this.#loss.share;
  }

  isLossy(now: number): boolean {
    return (this.loss(now) ?? 0) > this.#tuning.lossLimit;
  }

  /** When `loss` will be forgotten. */
  next(): number {
    return this.#loss === undefined ? Infinity : this.#loss.at + this.#tuning.lossMemoryMs;
  }
}
