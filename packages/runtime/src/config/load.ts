import { open } from 'node:fs/promises';
import { relative, resolve } from 'node:path';
import { Ajv } from 'ajv';
import type { XStatic } from 'typebox/schema';
import { RuntimeFault, systemReason } from '../faults.ts';
import { type FieldPath, parseDocument, type SourceDocument } from './document.ts';
import { ConfigError } from './error.ts';
import { dotted, explain } from './explain.ts';
import { formats, published, resolvePaths, type Schema } from './schema.ts';

const maxFileBytes = 1 << 20;

/** A configuration after defaults, with absolute paths, and a way to complain about it. */
export interface LoadedConfig<T> {
  readonly value: T;
  /** As given. */
  readonly file: string;
  /** An error that points at a field: `['identity', 'privateKeyFile']`. */
  error(path: FieldPath, message: string, remedy?: string): ConfigError;
  /** Reads the file that a field names, at most `maxBytes` (1 MiB). Throws ConfigError at that field. */
  readFile(path: FieldPath, o?: { maxBytes?: number }): Promise<Buffer>;
}

/** Extra rules that a schema cannot say. Gives what is wrong, and where. */
export type Check<T> = (value: T) => Iterable<{ readonly path: FieldPath; readonly message: string }>;

/**
 * Reads one JSON or YAML file (at most 1 MiB) and validates it. Unknown fields are errors; all errors are
 * reported at once, in one ConfigError.
 */
export async function loadConfig<const S extends Schema>(
  file: string,
  schema: S,
  o: { cwd?: string; check?: Check<XStatic<S>> } = {},
): Promise<LoadedConfig<XStatic<S>>> {
  const path = resolve(o.cwd ?? process.cwd(), file);
  const text = await readWhole(path, maxFileBytes).catch((cause: unknown) => {
    const where = path === file ? '' : ` (looked for ${path})`;
    throw new RuntimeFault({
      code: 'config-unreadable',
      fault: 'config',
      message: `cannot read the configuration file ${file}${where}: ${systemReason(cause)}`,
      remedy: 'check the path and its permissions',
      cause,
    });
  });
  return parseConfig(text.toString('utf8'), file, path, schema, o.check);
}

/** Validates a configuration given as text. `path` is where relative paths start; `file` is its name in errors. */
export function parseConfig<const S extends Schema>(
  text: string,
  file: string,
  path: string,
  schema: S,
  check?: Check<XStatic<S>>,
): LoadedConfig<XStatic<S>> {
  const parsed = parseDocument(text.replace(/^\uFEFF/, ''));
  if (!parsed.ok) throw new ConfigError(parsed.problems.map((p) => ({ file, path: '', ...p })));
  const { document } = parsed;
  const remedy =
    schema.$id === undefined ? undefined : `every field is described in docs/schemas/${schema.$id}`;
  const ajv = new Ajv({ allErrors: true, verbose: true, useDefaults: true, strictTypes: true });
  for (const [name, format] of Object.entries(formats)) ajv.addFormat(name, format.test);
  const validate = ajv.compile(published(schema));
  const { value } = document;
  if (!validate(value)) {
    throw new ConfigError(
      (validate.errors ?? []).map((e) => explain(e, document, file)),
      remedy,
    );
  }
  const typed = value as XStatic<S>;
  const broken = [...(check?.(typed) ?? [])];
  if (broken.length > 0) throw new ConfigError(broken.map((b) => issueAt(document, file, b.path, b.message)));
  resolvePaths(schema, value, path);
  return {
    value: typed,
    file,
    error: (at, message, what) => new ConfigError([issueAt(document, file, at, message)], what),
    async readFile(at, { maxBytes = maxFileBytes } = {}) {
      const target = String(
        at.reduce<unknown>((inner, step) => (inner as Record<string, unknown>)[step], value),
      );
      try {
        return await readWhole(target, maxBytes);
      } catch (cause) {
        const shown = relative(process.cwd(), target).startsWith('..')
          ? target
          : relative(process.cwd(), target);
        throw new ConfigError([issueAt(document, file, at, `cannot read ${shown}: ${systemReason(cause)}`)]);
      }
    },
  };
}

function issueAt(document: SourceDocument, file: string, path: FieldPath, message: string) {
  return { file, ...document.locate(path), path: dotted(path), message };
}

/** Reads a regular file whole; a longer one than `maxBytes` is an error. */
async function readWhole(path: string, maxBytes: number): Promise<Buffer> {
  await using handle = await open(path, 'r');
  const stat = await handle.stat();
  if (stat.isDirectory()) throw new Error('it is a directory');
  if (stat.size > maxBytes) throw new Error(`it is larger than ${maxBytes} bytes`);
  const bytes = Buffer.alloc(maxBytes + 1);
  let length = 0;
  for (;;) {
    const { bytesRead } = await handle.read(bytes, length, bytes.length - length);
    length += bytesRead;
    if (length > maxBytes) throw new Error(`it is larger than ${maxBytes} bytes`);
    if (bytesRead === 0) return Buffer.from(bytes.subarray(0, length));
  }
}
