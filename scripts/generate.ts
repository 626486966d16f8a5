// Generates packages/wire/src/gen from proto/ (committed). `--check` changes nothing and fails on drift.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';

const root = join(import.meta.dirname, '..');
const committed = join(root, 'packages/wire/src/gen');

process.exit(process.argv.includes('--check') ? check() : generate(committed));

/** Runs buf into `out`; the exit code. */
function generate(out: string): number {
  const bin = join(root, 'node_modules/.bin');
  rmSync(out, { recursive: true, force: true });
  const run = spawnSync(join(bin, 'buf'), ['generate', '--output', out], {
    cwd: join(root, 'proto'),
    env: { ...process.env, PATH: bin + delimiter + process.env.PATH },
    stdio: 'inherit',
  });
  return run.status ?? 1;
}

function check(): number {
  const scratch = mkdtempSync(join(tmpdir(), 'ztna-generate-'));
  try {
    const failed = generate(scratch);
    if (failed) return failed;
    const drifted = differences(readTree(scratch), readTree(committed));
    for (const file of drifted) console.error(`packages/wire/src/gen/${file} is not what proto/ generates`);
    if (drifted.length > 0) console.error('Run `npm run generate` and commit the result.');
    return drifted.length > 0 ? 1 : 0;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function differences(a: Map<string, string>, b: Map<string, string>): string[] {
  const names = new Set([...a.keys(), ...b.keys()]);
  return [...names].filter((name) => a.get(name) !== b.get(name)).sort();
}

function readTree(folder: string): Map<string, string> {
  const files = new Map<string, string>();
  if (!existsSync(folder)) return files;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    files.set(path.slice(folder.length + 1), readFileSync(path, 'utf8'));
  }
  return files;
}
