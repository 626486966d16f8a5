import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { loadKeys } from './keys.ts';

let stateDir: string;
beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'ztna-keys-'));
});
afterEach(() => rmSync(stateDir, { recursive: true, force: true }));

it('a restarted process has the same keys and the next generation', () => {
  const { generation: first, ...before } = loadKeys({ stateDir, keys: {} });
  const { generation: second, ...after } = loadKeys({ stateDir, keys: {} });
  expect(after).toEqual(before);
  expect([first, second]).toEqual([0, 1]);
});

it('the generation comes round after 255', () => {
  writeFileSync(join(stateDir, 'generation'), '255\n');
  expect(loadKeys({ stateDir, keys: {} }).generation).toBe(0);
});

it('keys are for the owner alone', () => {
  loadKeys({ stateDir, keys: {} });
  expect(statSync(join(stateDir, 'endpoint-keys.json')).mode & 0o777).toBe(0o600);
});

it('files of the configuration come first; retry keys may be several', () => {
  const retryKeysFile = join(stateDir, 'retry');
  writeFileSync(retryKeysFile, `${'aa'.repeat(32)}\n${'bb'.repeat(32)}\n`);
  const keys = loadKeys({ stateDir, keys: { retryKeysFile, serverId: '0102' } });
  expect(keys.retryKeys.map((key) => key[0])).toEqual([0xaa, 0xbb]);
  expect([...keys.serverId]).toEqual([1, 2]);
});

it.each(['', 'zz', 'aa'.repeat(31), '{}'])('a broken key file %j is named', (content) => {
  const resetKeyFile = join(stateDir, 'reset');
  writeFileSync(resetKeyFile, content);
  expect(() => loadKeys({ stateDir, keys: { resetKeyFile, serverId: '01' } })).toThrow(resetKeyFile);
});

it.each(['not json', '{}', 'null', '{"retryKey": 1}'])('a broken state file %j is named', (content) => {
  writeFileSync(join(stateDir, 'endpoint-keys.json'), content);
  expect(() => loadKeys({ stateDir, keys: {} })).toThrow('endpoint-keys.json');
});
