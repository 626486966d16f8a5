import { type FSWatcher, watch } from 'node:fs';
import { basename, dirname } from 'node:path';

/** Files settle for so long before they are read, in ms. */
const SETTLE_MS = 200;

/** Calls back a moment after one of the files was written or replaced, until disposed. Does not keep the process alive. */
export function watchFiles(files: readonly string[], onChange: () => void): Disposable {
  let timer: NodeJS.Timeout | undefined;
  const names = new Set(files.map((file) => basename(file)));
  const changed = (_event: string, name: string | null) => {
    if (name !== null && !names.has(name)) return;
    clearTimeout(timer);
    timer = setTimeout(onChange, SETTLE_MS).unref();
  };
  const watchers = [...new Set(files.map((file) => dirname(file)))].flatMap((directory): FSWatcher[] => {
    try {
      // The directory, not the file: a file that is replaced by renaming is a new one.
      const watcher = watch(directory, { persistent: false }, changed);
      watcher.on('error', () => watcher.close());
      return [watcher];
    } catch {
      return []; // no watches left on this machine: SIGHUP still works
    }
  });
  return {
    [Symbol.dispose]() {
      clearTimeout(timer);
      for (const watcher of watchers) watcher.close();
    },
  };
}
