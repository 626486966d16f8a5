// A lab leaves nothing behind, also when whoever runs it is killed.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { scenario } from '../lab/index.ts';

const program = fileURLToPath(new URL('../lab/until-killed.ts', import.meta.url));

scenario(
  'all processes of a lab end, and with them its networks, when its runner is killed',
  { hosts: {} },
  async () => {
    const runner = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = (await once(createInterface({ input: runner.stdout }), 'line')) as [string];
    const networks = JSON.parse(line) as string[];
    expect(networks.length).toBeGreaterThan(3);
    expect(usersOf(networks).length).toBeGreaterThan(0);

    runner.kill('SIGKILL');
    await once(runner, 'exit');

    await expect.poll(() => usersOf(networks), { timeout: 10_000, interval: 50 }).toEqual([]);
  },
);

/** Processes in any of these network namespaces. One without processes and without a name does not exist. */
function usersOf(networks: readonly string[]): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      return networks.includes(readlinkSync(`/proc/${pid}/ns/net`));
    } catch {
      return false;
    }
  });
}
