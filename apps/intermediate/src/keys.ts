import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readText, writeWhole } from '@ztna/identity';
import type { EndpointKeys } from '@ztna/quic';
import type { IntermediateConfig } from '@ztna/runtime/config';
import { fromHex, toHex, ZtnaError } from '@ztna/wire';

const FILE = 'endpoint-keys.json';
const GENERATION_FILE = 'generation';
const BYTES = { retryKey: 32, resetKey: 32, cidKey: 16, serverId: 4 } as const;

interface StoredKeys {
  readonly retryKey: string;
  readonly resetKey: string;
  readonly cidKey: string;
  readonly serverId: string;
}

/**
 * The keys that must outlive this process, so that a restarted one answers packets of the connections before it with
 * valid stateless resets: from the files of the configuration, else from the state directory, where they are made
 * once. The process generation rises with each call. Throws a ZtnaError that names the file.
 */
export function loadKeys(config: Pick<IntermediateConfig, 'keys' | 'stateDir'>): Required<EndpointKeys> {
  const { retryKeysFile, resetKeyFile, cidKeyFile, serverId } = config.keys;
  const stored = storedKeys(join(config.stateDir, FILE));
  const retryKeys = retryKeysFile
    ? linesOf(retryKeysFile).map((line) => key(line, BYTES.retryKey, retryKeysFile))
    : [fromHex(stored.retryKey)];
  if (retryKeys.length === 0) throw unusable(retryKeysFile ?? FILE, 'it holds no key');
  return {
    retryKeys,
    resetKey: fileKey(resetKeyFile, BYTES.resetKey) ?? fromHex(stored.resetKey),
    cidKey: fileKey(cidKeyFile, BYTES.cidKey) ?? fromHex(stored.cidKey),
    serverId: fromHex(serverId ?? stored.serverId),
    generation: nextGeneration(join(config.stateDir, GENERATION_FILE)),
  };
}

function storedKeys(file: string): StoredKeys {
  if (!existsSync(file)) {
    const entries = Object.entries(BYTES).map(([name, size]) => [name, toHex(randomBytes(size))]);
    writeWhole(file, `${JSON.stringify(Object.fromEntries(entries))}\n`, { secret: true });
  }
  const keys = parse(readText(file));
  for (const [name, size] of Object.entries(BYTES)) key(keys?.[name as keyof StoredKeys], size, file);
  return keys as StoredKeys;
}

function parse(text: string): Partial<StoredKeys> | undefined {
  try {
    return JSON.parse(text) as Partial<StoredKeys>;
  } catch {
    return undefined;
  }
}

function fileKey(file: string | undefined, size: number): Uint8Array | undefined {
  return file === undefined ? undefined : key(linesOf(file)[0], size, file);
}

function linesOf(file: string): string[] {
  return readText(file)
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean);
}

function key(text: unknown, size: number, file: string): Uint8Array {
  if (typeof text === 'string' && /^[0-9a-fA-F]+$/.test(text) && text.length === 2 * size)
    return fromHex(text);
  throw unusable(file, `it must hold ${2 * size} hex digits`);
}

/** 0 to 255, and round again: enough to tell a process from those before it. */
function nextGeneration(file: string): number {
  const last = existsSync(file) ? Number(readText(file)) : Number.NaN;
  const generation = Number.isInteger(last) ? (last + 1) & 0xff : 0;
  writeWhole(file, `${generation}\n`, { secret: true, replace: true });
  return generation;
}

function unusable(file: string, why: string): ZtnaError {
  return new ZtnaError({
    code: 'endpoint-keys',
    fault: 'config',
    happened: `the keys in ${file} cannot be used: ${why}`,
    remedy: 'restore the file, or remove it to have new keys made',
  });
}
