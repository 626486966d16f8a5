import { exposedFiles } from '@ztna/identity';
import type { Logger } from '@ztna/runtime';

/** Warns once of each private key that others may read. No error: Kubernetes mounts secrets so. */
export function warnOfExposedKeys(log: Logger, files: readonly (string | undefined)[]): void {
  for (const { file, mode } of exposedFiles(files.filter((f) => f !== undefined))) {
    log.warn(
      { event: 'key.exposed', file, mode, remedy: `chmod 600 ${file}` },
      'others than its owner have rights on this private key',
    );
  }
}
