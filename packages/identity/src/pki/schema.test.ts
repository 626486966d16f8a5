import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { configurationSchemaText } from './schema.ts';

it('the published schema is that of the sources (else: ztna pki schema > docs/schemas/configuration.schema.json)', () => {
  const file = new URL('../../../../docs/schemas/configuration.schema.json', import.meta.url);
  // Compared as values: the layout of the file is the formatter's.
  expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual(JSON.parse(configurationSchemaText()));
});
