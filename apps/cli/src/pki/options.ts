import { resolve } from 'node:path';
import { type CommandIo, type StringOption, UsageError } from '@ztna/runtime';

/** Environment variable with the passphrase of the authority's keys. */
export const PASSPHRASE_VARIABLE = 'ZTNA_PKI_PASSPHRASE';

export const dirOption = {
  type: 'string',
  default: 'pki',
  placeholder: 'DIR',
  description: 'directory of the authority',
} as const satisfies StringOption;

export const passphraseOption = {
  type: 'string',
  placeholder: 'FILE',
  description: `file with the passphrase of the authority's keys; or set ${PASSPHRASE_VARIABLE}`,
} as const satisfies StringOption;

export const forceOption = { type: 'boolean', description: 'replace what is there' } as const;

/** A path from the command line, from where the command was called. */
export function pathFrom(io: CommandIo, path: string): string {
  return resolve(io.cwd, path);
}

/** The passphrase from the file or the environment; an object to spread. One line end at the end is no part of it. */
export async function readPassphrase(
  io: CommandIo,
  file: string | undefined,
): Promise<{ passphrase?: string }> {
  if (file === undefined) {
    const passphrase = io.env[PASSPHRASE_VARIABLE];
    return passphrase === undefined || passphrase === '' ? {} : { passphrase };
  }
  const { readText } = await import('@ztna/identity');
  const passphrase = readText(pathFrom(io, file), 4096).replace(/\r?\n$/, '');
  if (passphrase === '') throw new UsageError(`--passphrase-file ${file} is empty`);
  return { passphrase };
}
