import { statSync } from 'node:fs';

/** A file that more than its owner may read or change. */
export interface ExposedFile {
  readonly file: string;
  /** Octal, `0644`. */
  readonly mode: string;
}

/** Those of the files that group or others have rights on. What cannot be looked at is passed over. */
export function exposedFiles(files: readonly string[]): readonly ExposedFile[] {
  return files.flatMap((file) => {
    const mode = modeOf(file);
    return mode & 0o077 ? [{ file, mode: mode.toString(8).padStart(4, '0') }] : [];
  });
}

function modeOf(file: string): number {
  try {
    return statSync(file).mode & 0o7777;
  } catch {
    return 0; // whoever needs the file says what is wrong with it
  }
}
