/** Numbers from 0 below n, the same for the same seed (mulberry32). */
export function randomFrom(seed: number): (n: number) => number {
  let state = seed >>> 0;
  return (n) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % n;
  };
}

const MAX_INPUT = 4096;
const TELLING = [0, 1, 0x7f, 0x80, 0xff, 0x30, 0x2d, 0x0a, 0x0d, 0x22, 0x5b, 0x7b, 0x3f, 0x3a] as const;

/** One to six changes of a member of the corpus. */
export function mutate(corpus: readonly Uint8Array[], random: (n: number) => number): Uint8Array {
  const pick = () => corpus[random(corpus.length)] ?? new Uint8Array();
  let bytes = Array.from(pick());
  for (let changes = 1 + random(6); changes > 0; changes--) bytes = change(bytes, pick, random);
  return Uint8Array.from(bytes.slice(0, MAX_INPUT));
}

function change(bytes: number[], pick: () => Uint8Array, random: (n: number) => number): number[] {
  const at = random(bytes.length + 1);
  const [from, to] = [random(bytes.length + 1), random(bytes.length + 1)].sort((a, b) => a - b) as [
    number,
    number,
  ];
  const here = bytes[at];
  switch (random(10)) {
    case 0: // one bit
      return here === undefined ? bytes : bytes.with(at, here ^ (1 << random(8)));
    case 1: // one byte
      return here === undefined ? bytes : bytes.with(at, random(256));
    case 2: // one telling byte
      return here === undefined ? bytes : bytes.with(at, TELLING[random(TELLING.length)] ?? 0);
    case 3: // a length, perhaps: a little more or less
      return here === undefined ? bytes : bytes.with(at, (here + 252 + random(9)) & 0xff);
    case 4:
      return bytes.slice(0, at);
    case 5: // cut out
      return bytes.toSpliced(from, to - from);
    case 6: // insert
      return bytes.toSpliced(at, 0, ...Array.from({ length: 1 + random(8) }, () => random(256)));
    case 7: // repeat, at times deep
      return bytes.toSpliced(
        at,
        0,
        ...repeat(bytes.slice(from, Math.min(to, from + 16)), 1 + random(random(8) === 0 ? 256 : 4)),
      );
    case 8: {
      // a piece of another
      const other = pick();
      const start = random(other.length + 1);
      return bytes.toSpliced(at, random(8), ...other.subarray(start, start + random(64)));
    }
    default: // joined with another
      return [...bytes.slice(0, at), ...pick().subarray(random(32))];
  }
}

function repeat(piece: readonly number[], times: number): number[] {
  return Array.from({ length: times }, () => piece).flat();
}
