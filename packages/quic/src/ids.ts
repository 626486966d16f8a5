/** The largest of this side: those of what peers and local programs began have the top bit, and are the engine's to give. */
const MAX_ID = 0x7fff_ffff;

/**
 * The ids by which this side and the engine mean the same thing. They come round after two thousand million: what is old and
 * still has one keeps it.
 */
export class Ids {
  /** @internal Tests set it to have ids come round. */
  last = 0;
  readonly #holders: readonly { has(id: number): boolean }[];

  /** `holders`: where to find what has an id. */
  constructor(holders: readonly { has(id: number): boolean }[]) {
    this.#holders = holders;
  }

  next(): number {
    do this.last = (this.last % MAX_ID) + 1;
    while (this.#holders.some((holder) => holder.has(this.last)));
    return this.last;
  }
}
