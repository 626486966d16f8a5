import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { attempt, campaign } from './campaign.ts';
import { readCorpus } from './corpus.ts';
import { targets } from './targets.ts';

const SEED = 20_261;
/** Both bounds: the first that is reached ends a target. */
const RUNS = 2_000;
const BUDGET_MS = 400;

describe.each(Object.entries(targets))('%s', (name, target) => {
  test('holds for every committed input', () => {
    const corpus = readCorpus(name);
    expect(corpus).not.toEqual([]);
    const failures = corpus.map((entry) => [entry.name, attempt(target, entry.bytes)] as const);
    expect(failures.filter(([, error]) => error !== undefined)).toEqual([]);
  });

  test('holds for mutated inputs', () => {
    const { failure } = campaign(name, target, {
      seed: SEED,
      deadline: performance.now() + BUDGET_MS,
      maxRuns: RUNS,
    });
    const hex = Buffer.from(failure?.input ?? []).toString('hex');
    expect(failure?.error, `npm run fuzz -- --target ${name} --seed ${SEED} (input ${hex})`).toBeUndefined();
  });

  test('holds for any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(attempt(target, bytes)).toBeUndefined();
      }),
      { seed: SEED, numRuns: 300, interruptAfterTimeLimit: 200 },
    );
  });
});
