import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { startConnector } from '@ztna/connector';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Site, testLog } from './support/site.ts';

const CLI = fileURLToPath(new URL('../../apps/cli/src/main.ts', import.meta.url));

let cleanup: AsyncDisposableStack;
beforeEach(() => {
  cleanup = new AsyncDisposableStack();
});
afterEach(() => cleanup.disposeAsync());

it('a connector is back soon after its intermediate was killed and started again on the same port', async () => {
  const site = cleanup.use(await Site.create());
  site.publish(topology('127.0.0.1:1'));
  const first = await startProcess(site, '127.0.0.1:0');
  site.publish(topology(first.listen));
  first.child.kill('SIGHUP');
  await first.reloaded;
  const registrations = counter();
  const { log } = testLog('connector');
  cleanup.use(await startConnector({ config: site.connector(), log, onRegistered: registrations.set }));
  await registrations.reaches(1);

  first.child.kill('SIGKILL');
  await once(first.child, 'exit');
  const second = await startProcess(site, first.listen);

  expect(second.listen).toBe(first.listen);
  const up = performance.now();
  await registrations.reaches(0);
  await registrations.reaches(1);
  // It takes a second or two; a connector that did not notice would wait for the idle timeout of 30 s.
  expect(performance.now() - up).toBeLessThan(20_000);
}, 60_000);

it('an intermediate that is asked to stop ends in order, and tells its peers', async () => {
  const site = cleanup.use(await Site.create());
  site.publish(topology('127.0.0.1:1'));
  const { child, listen, reloaded } = await startProcess(site, '127.0.0.1:0');
  site.publish(topology(listen));
  child.kill('SIGHUP');
  await reloaded;
  const registrations = counter();
  const { log, lines } = testLog('connector');
  cleanup.use(await startConnector({ config: site.connector(), log, onRegistered: registrations.set }));
  await registrations.reaches(1);

  child.kill('SIGTERM');
  const [code] = await once(child, 'exit');
  await registrations.reaches(0);

  expect(code).toBe(0);
  expect(lines).toContainEqual(
    expect.objectContaining({
      event: 'intermediate.lost',
      reason: 'peer: going-away: the intermediate stops',
    }),
  );
}, 60_000);

function topology(intermediate: string) {
  const port = { transport: 'tcp', port: 80, backend: '127.0.0.1:1', allowLocal: true } as const;
  return { intermediate, services: [{ name: 'echo', ports: [port] }], granted: ['echo'] };
}

/** `ztna intermediate` as a process of its own, once it is ready. */
async function startProcess(site: Site, listen: string) {
  const config = site.path('intermediate.json');
  writeFileSync(config, JSON.stringify(site.intermediate(listen)));
  const child = spawn(process.execPath, [CLI, 'intermediate', '--config', config, '--json']);
  cleanup.defer(() => stop(child));
  const reloaded = new Promise<void>((resolve) => {
    createInterface(child.stderr).on('line', (line) => line.includes('"reloaded"') && resolve());
  });
  const [line] = await once(createInterface(child.stdout), 'line');
  const ready = JSON.parse(line) as { event: string; listen: string };
  expect(ready.event).toBe('ready');
  return { child, listen: ready.listen, reloaded };
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

/** A number that can be waited for; every value that it had counts, in order. */
function counter() {
  const seen: number[] = [];
  let wake = () => {};
  return {
    set: (value: number) => {
      seen.push(value);
      wake();
    },
    async reaches(wanted: number): Promise<void> {
      for (;;) {
        const at = seen.indexOf(wanted);
        if (at >= 0) {
          seen.splice(0, at + 1);
          return;
        }
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
  };
}
