import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Supervisor } from './supervisor.ts';

let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ztna-supervisor-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const ready = (event: Readonly<Record<string, unknown>>) => event.event === 'ready';
const readiness = { timeoutMs: 10_000, what: 'ready' };

describe('a child', () => {
  test('tells events as lines of JSON, with noise between them', async () => {
    await using supervisor = start(`console.log('noise'); console.log('3');
      console.log('{"event":"starting"}'); console.log('{"event":"ready","port":7}'); setInterval(() => {}, 9e6)`);
    const child = supervisor.start('connector', ['a', 'b']);
    expect(await child.event(ready, readiness)).toEqual({ event: 'ready', port: 7 });
    expect(await child.event(ready, readiness)).toEqual({ event: 'ready', port: 7 });
    expect(alive(child.pid)).toBe(true);
  });

  test('that dies before it is ready is an error with the end of its log', async () => {
    await using supervisor = start(`console.error('no such\\nconfiguration file'); process.exit(3)`);
    const child = supervisor.start('connector', []);
    await expect(child.event(ready, readiness)).rejects.toMatchObject({
      code: 'process-died',
      message:
        'the connector ended with exit code 3 before it was ready\n    no such\n    configuration file',
      remedy: `its log tells why: ${join(dir, 'connector.log')}`,
    });
  });

  test('that says nothing is an error', async () => {
    await using supervisor = start(`setInterval(() => {}, 9e6)`);
    const child = supervisor.start('agent', []);
    await expect(child.event(ready, { timeoutMs: 50, what: 'ready' })).rejects.toMatchObject({
      code: 'process-silent',
      message: 'the agent was not ready within 0.05 s',
    });
  });

  test('that dies later aborts the work', async () => {
    await using supervisor = start(`console.log('{"event":"ready"}'); setInterval(() => {}, 9e6)`);
    const child = supervisor.start('agent', []);
    await child.event(ready, readiness);
    process.kill(child.pid, 'SIGKILL');
    await aborted(supervisor.signal);
    expect(supervisor.signal.reason.message).toBe('the agent was ended by SIGKILL by itself');
  });
});

describe('afterwards no process is left', () => {
  test('of those that stop in order', async () => {
    const supervisor = start(`process.on('SIGTERM', () => { console.error('orderly'); process.exit(0) });
      console.log('{"event":"ready"}'); setInterval(() => {}, 9e6)`);
    const children = ['a', 'b', 'c'].map((name) => supervisor.start(name, []));
    await Promise.all(children.map((child) => child.event(ready, readiness)));
    await supervisor[Symbol.asyncDispose]();
    expect(children.map(({ pid }) => alive(pid))).toEqual([false, false, false]);
    expect(readFileSync(join(dir, 'b.log'), 'utf8')).toBe('orderly\n');
    expect(supervisor.signal.aborted).toBe(false);
  });

  test('of those that do not, and of what they started', async () => {
    const supervisor = start(
      `process.on('SIGTERM', () => {});
      const grandchild = require('node:child_process').spawn(process.execPath, ['-e', 'setInterval(() => {}, 9e6)']);
      grandchild.on('spawn', () => console.log(JSON.stringify({ event: 'ready', pid: grandchild.pid })));`,
      50,
    );
    const child = supervisor.start('stubborn', []);
    const { pid } = await child.event(ready, readiness);
    await supervisor[Symbol.asyncDispose]();
    expect(child.end).toBe('was ended by SIGKILL');
    await gone(Number(pid));
  });

  test('when the parent is killed by SIGKILL', async () => {
    const module = new URL('./supervisor.ts', import.meta.url).href;
    writeFileSync(join(dir, 'child.cjs'), `console.log('{"event":"ready"}'); setInterval(() => {}, 9e6)`);
    const parent = `import { Supervisor } from ${JSON.stringify(module)};
      const dir = ${JSON.stringify(dir)};
      const s = new Supervisor({ main: dir + '/child.cjs', logDir: dir, cwd: dir, graceMs: 1000 });
      const child = s.start('orphan', []);
      await child.event((e) => e.event === 'ready', { timeoutMs: 10000, what: 'ready' });
      console.log(child.pid);
      setInterval(() => {}, 9e6);`;
    const args = ['--input-type=module', '-e', parent];
    const process_ = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const [pid] = await once(createInterface(process_.stdout), 'line');
    expect(alive(Number(pid))).toBe(true);
    process_.kill('SIGKILL');
    await gone(Number(pid));
  });
});

function start(program: string, graceMs = 5000): Supervisor {
  const main = join(dir, 'main.cjs');
  writeFileSync(main, program);
  return new Supervisor({ main, logDir: dir, cwd: dir, graceMs });
}

/** A zombie that nobody reaped yet is dead. */
function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  if (process.platform !== 'linux') return true;
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** The death of a process that is not our child cannot be awaited, only seen; the test's time limit bounds it. */
async function gone(pid: number): Promise<void> {
  while (alive(pid)) await new Promise((resolve) => setTimeout(resolve, 10));
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve());
  });
}
