import { readCorpus } from './corpus.ts';
import { mutate, randomFrom } from './mutate.ts';
import type { Target } from './target.ts';

/** Longest that a target may take for one input of at most 4 KiB, on a busy machine. */
export const SLOW_MS = 2_000;

export interface Outcome {
  readonly runs: number;
  readonly failure?: { readonly input: Uint8Array; readonly error: unknown };
}

/** Runs a target on mutated inputs until the first failure, the deadline (`performance.now()`), or `maxRuns`. */
export function campaign(
  name: string,
  target: Target,
  {
    seed,
    deadline,
    maxRuns = Number.POSITIVE_INFINITY,
  }: { seed: number; deadline: number; maxRuns?: number },
): Outcome {
  const corpus = readCorpus(name).map((entry) => entry.bytes);
  const random = randomFrom(seed);
  let runs = 0;
  while (runs < maxRuns && performance.now() < deadline) {
    const input = mutate(corpus, random);
    runs++;
    const error = attempt(target, input);
    if (error !== undefined) return { runs, failure: { input, error } };
  }
  return { runs };
}

/** What goes wrong with this input: an exception, or far too much time. */
export function attempt(target: Target, input: Uint8Array): unknown {
  const started = performance.now();
  try {
    target(input);
  } catch (error) {
    return error ?? new Error('threw nothing');
  }
  const took = performance.now() - started;
  return took > SLOW_MS ? new Error(`took ${Math.round(took)} ms for ${input.length} bytes`) : undefined;
}
