/** Something to look for. */
export interface Needle {
  /** What it is called in a finding: `raw`, `hex`. */
  readonly form: string;
  readonly bytes: Buffer;
}

/** How often each form was found; forms that were not found are absent. */
export type Findings = ReadonlyMap<string, number>;

/**
 * Looks for needles in bytes that come in pieces; a needle that is cut by the border of two pieces is found.
 * Memory: one piece and the longest needle.
 */
export class Scanner {
  readonly #needles: readonly Needle[];
  readonly #overlap: number;
  readonly #found = new Map<string, number>();
  #tail: Buffer = Buffer.alloc(0);
  #bytes = 0;

  constructor(needles: readonly Needle[]) {
    if (needles.some(({ bytes }) => bytes.length === 0)) throw new RangeError('a needle is empty');
    this.#needles = needles;
    this.#overlap = Math.max(1, ...needles.map(({ bytes }) => bytes.length)) - 1;
  }

  /** Bytes seen so far. */
  get bytes(): number {
    return this.#bytes;
  }

  get findings(): Findings {
    return this.#found;
  }

  /** Found at all, in any form. */
  get hits(): number {
    return [...this.#found.values()].reduce((sum, n) => sum + n, 0);
  }

  /** The next piece. It is not kept. */
  push(piece: Uint8Array): void {
    const text = this.#tail.length === 0 ? asBuffer(piece) : Buffer.concat([this.#tail, piece]);
    // What ends within the tail was counted with the piece before.
    for (const needle of this.#needles) this.#count(needle, text, this.#tail.length);
    this.#tail = Buffer.from(text.subarray(Math.max(0, text.length - this.#overlap)));
    this.#bytes += piece.length;
  }

  /** The next piece does not follow the last one: nothing is found across this border. */
  gap(): void {
    this.#tail = Buffer.alloc(0);
  }

  #count({ form, bytes }: Needle, text: Buffer, known: number): void {
    const from = Math.max(0, known - bytes.length + 1);
    for (let at = text.indexOf(bytes, from); at >= 0; at = text.indexOf(bytes, at + 1)) {
      this.#found.set(form, (this.#found.get(form) ?? 0) + 1);
    }
  }
}

/** `12 × raw, 3 × hex`. */
export function describeFindings(findings: Findings): string {
  return [...findings].map(([form, n]) => `${n} × ${form}`).join(', ');
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
