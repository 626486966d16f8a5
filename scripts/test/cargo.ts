// Reads the counts of `cargo test` from its output (the JSON format is not stable Rust).
import { stripVTControlCharacters } from 'node:util';
import type { Result } from './steps.ts';

/** @param output stdout of `cargo test`: a "test …" line per test, a "test result:" line per binary. */
export function countCargo(step: string, code: number, output: string): Result {
  const lines = stripVTControlCharacters(output).split('\n');
  const passed = lines.reduce(
    (sum, line) => sum + Number(/^test result: .*? (\d+) passed/.exec(line)?.[1] ?? 0),
    0,
  );
  const failed = lines.filter((line) => /^test .* \.\.\. FAILED$/.test(line));
  const failures = failed.map((line) => line.slice('test '.length, -' ... FAILED'.length));
  const skips = lines.flatMap((line) => {
    const ignored = /^test (.*) \.\.\. ignored(?:, (.*))?$/.exec(line);
    return ignored ? [{ test: ignored[1] ?? line, reason: ignored[2] ?? '' }] : [];
  });
  // A binary that crashes or does not compile prints no test lines.
  if (code !== 0 && failures.length === 0) failures.push(`${step} (exit code ${code})`);
  return { passed, failures, skips };
}
