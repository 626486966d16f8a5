// Compares what npm installed (node_modules/.package-lock.json) with package-lock.json: same packages,
// same versions, same integrity. It is what `npm ci` would have assured (docs: CONTRIBUTING.md, "Set-up").
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

interface LockEntry {
  version?: string;
  integrity?: string;
  link?: boolean;
  optional?: boolean;
  devOptional?: boolean;
  peer?: boolean;
}

const root = join(import.meta.dirname, '..');
const wanted = packages('package-lock.json');
const installed = packages('node_modules/.package-lock.json');
const problems = [...missing(), ...different()];
for (const problem of problems) console.error(`  ${problem}`);
process.exit(problems.length > 0 ? 1 : 0);

function packages(file: string): Map<string, LockEntry> {
  const lock = JSON.parse(readFileSync(join(root, file), 'utf8')) as { packages: Record<string, LockEntry> };
  return new Map(Object.entries(lock.packages).filter(([path]) => path.startsWith('node_modules/')));
}

function missing(): string[] {
  return [...wanted]
    .filter(([path, entry]) => !installed.has(path) && !entry.optional && !entry.devOptional && !entry.peer)
    .map(([path, entry]) => `${path} ${entry.version ?? ''} is not installed`);
}

function different(): string[] {
  return [...installed].flatMap(([path, entry]) => {
    const locked = wanted.get(path);
    if (!locked) return [`${path} ${entry.version ?? ''} is not in package-lock.json`];
    const same = entry.version === locked.version && entry.integrity === locked.integrity;
    return same ? [] : [`${path}: ${entry.version ?? '?'} installed, ${locked.version ?? '?'} locked`];
  });
}
