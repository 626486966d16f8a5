import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const run = promisify(execFile);

/** Opens files until there are no descriptors, looks, frees them, looks again. */
const PROGRAM = `
import { closeSync, openSync } from 'node:fs';
import { InterfaceWatcher } from ${JSON.stringify(new URL('./interfaces.ts', import.meta.url).href)};
const told = [];
const watcher = new InterfaceWatcher({
  bound: { host: '0.0.0.0', port: 1 },
  onAddresses: (addresses) => told.push(addresses.length > 0),
  onChange: () => told.push('change'),
});
const files = [];
try { for (;;) files.push(openSync('/dev/null')); } catch {}
watcher.look(false);
files.forEach((file) => closeSync(file));
watcher.look(false);
watcher[Symbol.dispose]();
console.log(JSON.stringify(told));
`;

test('a process without file descriptors goes on with the addresses that it knew', async () => {
  const shell = 'ulimit -n 64; exec "$0" --input-type=module -e "$1"';
  const { stdout } = await run('/bin/sh', ['-c', shell, process.execPath, PROGRAM]);
  expect(JSON.parse(stdout)).toEqual([true]);
});
