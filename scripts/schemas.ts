// Writes the JSON Schemas of the components' configuration files to docs/schemas.
// With --check it changes nothing and fails when a published schema differs from the sources.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { agentSchema, connectorSchema, intermediateSchema, published } from '@ztna/runtime/config';

const root = fileURLToPath(new URL('../', import.meta.url));
const check = process.argv.includes('--check');
mkdirSync(`${root}docs/schemas`, { recursive: true });

for (const schema of [agentSchema, connectorSchema, intermediateSchema]) {
  const file = `docs/schemas/${schema.$id}`;
  const wanted = JSON.stringify(published(schema));
  if (!check) writeFileSync(root + file, wanted);
  else if (wanted !== contentOf(root + file)) {
    process.stderr.write(`${file} is out of date: run node scripts/schemas.ts\n`);
    process.exitCode = 1;
  }
}
if (!check)
  execFileSync(`${root}node_modules/.bin/biome`, ['format', '--write', 'docs/schemas'], { cwd: root });

/** The file's JSON without its layout, which is the formatter's. */
function contentOf(file: string): string | undefined {
  try {
    return JSON.stringify(JSON.parse(readFileSync(file, 'utf8')));
  } catch {
    return undefined;
  }
}
