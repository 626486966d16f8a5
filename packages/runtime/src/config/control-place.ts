import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { systemReason } from '../faults.ts';
import { parseDocument } from './document.ts';

/** What a configuration file of any component says of its control socket. Absolute paths. */
export interface ControlPlace {
  readonly file: string;
  readonly stateDir: string;
  /** `control.socket`, when it names one. */
  readonly socket: string | undefined;
}

const MAX_FILE_BYTES = 1 << 20;

/**
 * Reads that much of a configuration file, and no more: what runs may be asked although the file was spoilt since it
 * started. Gives a sentence when the file cannot be read at all.
 */
export function readControlPlace(file: string, cwd: string): ControlPlace | string {
  const path = resolve(cwd, file);
  const folder = dirname(path);
  try {
    const text = readFileSync(path, 'utf8').slice(0, MAX_FILE_BYTES);
    const parsed = parseDocument(text.replace(/^\uFEFF/, ''));
    const value = (parsed.ok ? parsed.document.value : undefined) as
      | Record<string, unknown>
      | null
      | undefined;
    const { socket } = (value?.control ?? {}) as { readonly socket?: unknown };
    const stateDir = typeof value?.stateDir === 'string' ? value.stateDir : 'state';
    const isNamed = typeof socket === 'string' && socket !== 'off';
    return {
      file: path,
      stateDir: resolve(folder, stateDir),
      socket: isNamed ? resolve(folder, socket) : undefined,
    };
  } catch (error) {
    return `cannot read ${file}: ${systemReason(error)}`;
  }
}
