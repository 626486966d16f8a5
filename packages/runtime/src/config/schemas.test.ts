import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { agentSchema, connectorSchema, intermediateSchema, type Schema } from './index.ts';

describe.each([agentSchema, connectorSchema, intermediateSchema])('$title', (schema) => {
  const fields = [...walk(schema, [])];

  test('every group refuses unknown fields', () => {
    const open = fields.filter(
      ([, s]) => s.type === 'object' && s.properties && s.additionalProperties !== false,
    );
    expect(open.map(([name]) => name)).toEqual([]);
  });

  test('every field is described', () => {
    expect(fields.filter(([name, s]) => name !== '' && !s.description).map(([name]) => name)).toEqual([]);
  });

  test('every field with a default is always there after loading', () => {
    const loose = fields.flatMap(([name, s]) =>
      Object.entries(s.properties ?? {})
        .filter(([key, inner]) => inner.default !== undefined && !s.required?.includes(key))
        .map(([key]) => `${name}.${key}`),
    );
    expect(loose).toEqual([]);
  });
});

test('the published schemas are those of the sources', async () => {
  const script = fileURLToPath(new URL('../../../../scripts/schemas.ts', import.meta.url));
  await promisify(execFile)(process.execPath, [script, '--check']);
});

function* walk(schema: Schema, path: readonly string[]): Generator<[string, Schema]> {
  yield [path.join('.'), schema];
  for (const [name, inner] of Object.entries(schema.properties ?? {})) yield* walk(inner, [...path, name]);
}
