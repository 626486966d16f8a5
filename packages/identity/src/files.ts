import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { ZtnaError } from '@ztna/wire';

const PRIVATE_FILE = 0o600;
const PUBLIC_FILE = 0o644;
const PRIVATE_DIRECTORY = 0o700;

export interface WriteOptions {
  /** Readable by the owner alone. */
  readonly secret?: boolean;
  /** Replace what is there; without it an existing file is an error. */
  readonly replace?: boolean;
}

/** Makes a directory and those above it, for the owner alone. Existing ones keep their mode. */
export function makeDirectory(path: string): void {
  attempt('make directory', path, () => mkdirSync(path, { recursive: true, mode: PRIVATE_DIRECTORY }));
}

/**
 * Writes a whole file. A replaced file is old or new after a crash, never half (written beside, synced, renamed).
 * Throws a ZtnaError (`file-exists`, `file-system`).
 */
export function writeWhole(path: string, data: string | Uint8Array, options: WriteOptions = {}): void {
  const mode = options.secret ? PRIVATE_FILE : PUBLIC_FILE;
  makeDirectory(dirname(path));
  if (!options.replace) {
    attempt('write', path, () => writeNew(path, data, mode));
    return;
  }
  const beside = `${path}.${process.pid}.tmp`;
  attempt('write', path, () => {
    rmSync(beside, { force: true });
    writeNew(beside, data, mode);
    renameSync(beside, path);
  });
}

/** Reads a whole file of at most `limit` bytes. Throws a ZtnaError (`file-system`, `file-too-large`). */
export function readWhole(path: string, limit = 16 * 1024 * 1024): Buffer {
  const bytes = attempt('read', path, () => readFileSync(path));
  if (bytes.length > limit) {
    throw new ZtnaError({
      code: 'file-too-large',
      fault: 'config',
      happened: `over ${limit} bytes`,
      to: path,
    });
  }
  return bytes;
}

/** Reads a whole file as UTF-8 text. */
export function readText(path: string, limit?: number): string {
  return readWhole(path, limit).toString('utf8');
}

function writeNew(path: string, data: string | Uint8Array, mode: number): void {
  const file = openSync(path, 'wx', mode);
  try {
    const bytes = Buffer.from(data as Uint8Array);
    for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

function attempt<T>(verb: string, path: string, action: () => T): T {
  try {
    return action();
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === 'EEXIST' && verb === 'write') {
      throw new ZtnaError({
        code: 'file-exists',
        fault: 'config',
        happened: `${path} exists already`,
        remedy: 'choose another place, or replace it with --force',
        cause,
      });
    }
    const happened = `cannot ${verb} ${path} (${code ?? cause})`;
    throw new ZtnaError({ code: 'file-system', fault: 'config', happened, cause });
  }
}
