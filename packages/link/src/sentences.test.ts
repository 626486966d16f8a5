import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { sentenceOf } from './sentences.ts';

const cores = join(import.meta.dirname, '../../session/src');

test('every event of a core has a sentence', () => {
  const sources = globSync('**/*.ts', { cwd: cores }).filter((file) => !file.endsWith('.test.ts'));
  const events = sources.flatMap((file) =>
    [
      ...readFileSync(join(cores, file), 'utf8').matchAll(
        /[.#]event\(\s*'(?:debug|info|warn)',\s*'([\w.-]+)'/g,
      ),
    ].map(([, event = '']) => event),
  );
  expect(events.length).toBeGreaterThan(15);
  expect(events.filter((event) => sentenceOf(event) === event)).toEqual([]);
});
