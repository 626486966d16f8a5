import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { getSystemErrorMessage } from 'node:util';
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

/**
 * Makes a directory and those above it, for the owner alone. Existing ones keep their mode. Step by step, because
 * Node's `recursive` never ends where a file system refuses with ENOENT, as /proc does.
 */
export function makeDirectory(path: string): void {
  if (isDirectory(path)) return;
  const parent = dirname(path);
  if (parent !== path) makeDirectory(parent);
  attempt('make directory', path, () => {
    try {
      mkdirSync(path, { mode: PRIVATE_DIRECTORY });
    } catch (error) {
      if (!isDirectory(path)) throw error; // else somebody else has made it meanwhile
    }
  });
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

function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
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

/** By the code of the system. */
const REMEDIES: Readonly<Record<string, string>> = {
  ENOENT:
    'check the path; one that is not absolute begins at the folder of the file that names it, or at the current one',
  EACCES: 'check the path, and who may use it: the process runs as another user, perhaps',
  EPERM: 'check the path, and who may use it: the process runs as another user, perhaps',
  EISDIR: 'name a file in it',
  ENOTDIR: 'check the path: a part of it is a file',
  ENOSPC: 'make room on the disk',
  EROFS: 'choose a place that can be written to',
};

function attempt<T>(verb: string, path: string, action: () => T): T {
  try {
    return action();
  } catch (cause) {
    const { code, errno } = cause as NodeJS.ErrnoException;
    if (code === 'EEXIST' && verb === 'write') {
      throw new ZtnaError({
        code: 'file-exists',
        fault: 'config',
        happened: `${path} exists already`,
        remedy: 'choose another place, or replace it with --force',
        cause,
      });
    }
    const system = errno === undefined ? cause : getSystemErrorMessage(errno);
    const reason = code === 'EISDIR' ? 'it is a directory' : system;
    const happened = `cannot ${verb} ${path}: ${reason}`;
    const remedy = REMEDIES[code ?? ''] ?? 'look at the disk and the permissions of the path';
    throw new ZtnaError({ code: 'file-system', fault: 'config', happened, remedy, cause });
  }
}
