import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { makeCanary } from './canary.ts';
import { readableMappings, scanMemory } from './memory.ts';

// Test processes get the canary by stdin and do not show it in their arguments or environment.
const holds = `const kept = []; process.stdin.on('data', (d) => { kept.push(d); process.stdout.write('kept'); });`;

test.runIf(process.platform === 'linux')('what a process holds is found in its memory alone', async () => {
  const canary = makeCanary();
  await using holder = await start();
  await using other = await start();
  holder.child.stdin.write(canary.bytes);
  other.child.stdin.write(makeCanary().bytes);
  await Promise.all([once(holder.child.stdout, 'data'), once(other.child.stdout, 'data')]);

  const found = await scanMemory(holder.child.pid ?? 0, canary.needles);
  const absent = await scanMemory(other.child.pid ?? 0, canary.needles);

  expect(found.scanner.findings.get('raw')).toBeGreaterThan(0);
  expect(absent.scanner.hits).toBe(0);
  expect(absent.scanner.bytes).toBeGreaterThan(1 << 20);
});

test.runIf(process.platform === 'linux')('a process that is not there is an error', async () => {
  await expect(scanMemory(2 ** 22 + 1, makeCanary().needles)).rejects.toMatchObject({ code: 'ENOENT' });
});

test('mappings that cannot be read, or are as in their file, are left out', () => {
  const smaps = [
    '00400000-00401000 r-xp 00000000 08:01 1234                  /usr/bin/node',
    'Anonymous:             0 kB',
    '00500000-00501000 r--p 00000000 08:01 1234                  /usr/bin/node',
    'Anonymous:             4 kB',
    '00600000-00601000 r--p 00000000 08:01 1234                  /usr/bin/node',
    'Anonymous:             0 kB',
    'Swap:                  4 kB',
    '00700000-00701000 rw-s 00000000 08:01 1234                  /tmp/shared',
    'Anonymous:             0 kB',
    '7f0000000000-7f0000001000 ---p 00000000 00:00 0 ',
    'Anonymous:             0 kB',
    '7f0000001000-7f0000003000 rw-p 00000000 00:00 0 ',
    'Anonymous:             0 kB',
    '7ffff0000000-7ffff0004000 r--p 00000000 00:00 0                  [vvar]',
    '',
  ].join('\n');
  expect(readableMappings(smaps).map(({ start }) => start.toString(16))).toEqual([
    '500000',
    '600000',
    '700000',
    '7f0000001000',
  ]);
});

async function start() {
  const child = spawn(process.execPath, ['-e', holds], { stdio: ['pipe', 'pipe', 'inherit'] });
  await once(child, 'spawn');
  return {
    child,
    async [Symbol.asyncDispose]() {
      const closed = once(child, 'close');
      child.kill('SIGKILL');
      await closed;
    },
  };
}
