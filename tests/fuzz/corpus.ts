import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const folder = join(import.meta.dirname, 'corpus');

export interface Entry {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** The committed inputs of a target, in order of their names. */
export function readCorpus(target: string): Entry[] {
  const own = join(folder, target);
  if (!existsSync(own)) return [];
  return readdirSync(own)
    .sort()
    .map((name) => ({ name, bytes: new Uint8Array(readFileSync(join(own, name))) }));
}

/** Keeps an input that failed; gives its path. */
export function keepFailure(target: string, bytes: Uint8Array): string {
  const own = join(folder, target);
  mkdirSync(own, { recursive: true });
  const path = join(own, `failed-${createHash('sha256').update(bytes).digest('hex').slice(0, 12)}`);
  writeFileSync(path, bytes);
  return path;
}
