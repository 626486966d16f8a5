import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { Commands } from './support/commands.ts';
import { dial, readExactly } from './support/net.ts';
import { type Stack, startStack } from './support/stack.ts';

let stack: Stack;
let config: string;
let runtimeDir: string;
let ztna: Commands;

beforeAll(async () => {
  stack = await startStack();
  config = stack.writeAgentConfig();
});
afterAll(() => stack[Symbol.asyncDispose]());
beforeEach(({ task }) => {
  runtimeDir = join(stack.pki.dir, `run-${task.id}`);
  mkdirSync(runtimeDir, { mode: 0o700 });
  ztna = new Commands(runtimeDir);
});
afterEach(() => ztna[Symbol.dispose]());

test('nothing runs: exit code 3', async () => {
  const { code, out } = await ztna.run('status', '--config', config);
  expect(code).toBe(3);
  expect(out).toContain('nothing of this user runs here');
  const socket = join(runtimeDir, 'none.sock');
  expect((await ztna.run('status', '--socket', socket)).out).toContain(`nothing listens on ${socket}`);
  const { out: json } = await ztna.run('status', '--config', config, '--json');
  expect(JSON.parse(json)).toEqual({ version: 1, healthy: false, components: [], unanswered: [] });
});

test('an agent at work is healthy, with its intermediate, listeners and sessions', async () => {
  const { ready, child } = await ztna.ready('forward', '--config', config, 'echo:7', '--tcp');
  const { listen } = ready.forwards[0];
  const socket = await dial(listen);
  socket.write('x');
  await readExactly(socket, 1);

  const { component, code, healthy } = await status();
  expect({ code, healthy }).toEqual({ code: 0, healthy: true });
  expect(component).toMatchObject({
    ...{ component: 'agent', command: 'ztna forward', pid: child.pid, configFile: config },
    ...{ id: 'spiffe://test.example/default/agent/laptop', problems: [], flows: 1 },
    snapshot: { revision: 1 },
    intermediates: [{ name: 'relay', state: 'connected', remote: stack.intermediate.listen }],
    listeners: [{ kind: 'forward', listen, transport: 'tcp', service: 'echo', port: 7 }],
    sessions: [
      { state: 'up', path: { path: 'relayed', reason: expect.stringMatching(/^(starting|no-candidates)$/) } },
    ],
  });
  const [{ rttMs, observed, clockAheadMs }] = component.intermediates;
  expect(rttMs).toBeGreaterThan(0);
  expect(observed).toMatch(/127\.0\.0\.1.*:\d+$/);
  expect(Math.abs(clockAheadMs)).toBeLessThan(5_000);

  const { out } = await ztna.run('status', '--config', config);
  expect(out).toMatch(/^agent laptop {2}\(ztna forward, pid \d+, up \d+ s\) +ok$/m);
  expect(out).toMatch(/intermediate {2}relay: connected for \d+ s, RTT [\d.]+ ms/);
  expect(out).toMatch(/lab\/c1 +relayed +[\d.]+ ms +\d+ +\d+ s +(starting|no-candidates)/);
  expect(Math.max(...out.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
  socket.destroy();
});

test('two agents do not meet, and each takes its socket with it', async () => {
  const first = await ztna.ready('forward', '--config', config, 'web');
  const second = await ztna.ready('proxy', '--config', config, '--listen', '127.0.0.1:0');
  const { all } = await status();
  expect(all.components.map(({ command }: { command: string }) => command).sort()).toEqual([
    'ztna forward',
    'ztna proxy',
  ]);
  const sockets = all.components.map(({ socket }: { socket: string }) => socket);
  expect(sockets.map((path: string) => statSync(path).mode & 0o777)).toEqual([0o600, 0o600]);
  expect(statSync(join(runtimeDir, 'ztna')).mode & 0o777).toBe(0o700);
  for (const { child } of [first, second]) {
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    await ended;
  }
  expect(readdirSync(join(runtimeDir, 'ztna'))).toEqual([]);
});

test('the socket of an agent that was killed is passed over', async () => {
  const { child } = await ztna.ready('forward', '--config', config, 'web');
  expect((await status()).all.components).toHaveLength(1);
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
  expect(readdirSync(join(runtimeDir, 'ztna'))).toHaveLength(1);
  expect((await status()).code).toBe(3);
});

test('a socket of the configuration is used; a second process goes without and says so', async () => {
  const path = join(runtimeDir, 'mine', 'agent.sock');
  const own = stack.writeAgentConfig({ control: { socket: path } });
  await ztna.ready('forward', '--config', own, 'web');
  expect(existsSync(path)).toBe(true);
  const second = await ztna.ready('forward', '--config', own, 'web');
  const { out } = await ztna.run('status', '--socket', path, '--json');
  expect(JSON.parse(out).components).toHaveLength(1);
  second.child.kill('SIGTERM');
  expect(await second.errors).toContain('another process listens on it');
  expect((await ztna.run('status', '--socket', path, '--json')).code).toBe(0);
  stack.writeAgentConfig();
});

test('what is no component on a socket is told as such', async () => {
  const path = join(runtimeDir, 'odd.sock');
  await using server = createServer((socket) =>
    socket.resume().end('{"v":1,"ok":true,"result":{}}\n'),
  ).listen(path);
  await once(server, 'listening');
  const { code, out } = await ztna.run('status', '--socket', path);
  expect(code).toBe(1);
  expect(out.replace(/\s+/g, ' ')).toContain('is no component of this version (control-malformed)');
});

test('a configuration that cannot be read is a wrong command line', async () => {
  const { code, err } = await ztna.run('status', '--config', '/nowhere/agent.yaml');
  expect([code, err]).toEqual([2, expect.stringContaining('no such file')]);
});

test('an intermediate that died is told: stalled, then with the cause, in status, log and flows', async () => {
  const { ready, child, errors } = await ztna.ready('proxy', '--config', config, '--listen', '127.0.0.1:0');
  await expect.poll(() => status().then(({ code }) => code), { timeout: 20_000 }).toBe(0);
  const address = stack.intermediate.listen;
  await stack.stopIntermediate();
  const problem = async () => (await status()).component?.problems[0];
  await expect
    .poll(problem, { timeout: 30_000, interval: 500 })
    .toMatchObject({ code: 'intermediate-stopped' });
  const { code, out } = await ztna.run('status', '--config', config);
  expect(code).toBe(1);
  expect(out).toMatch(/ intermediate-stopped$/m);
  expect(out.replace(/\s+/g, ' ')).toMatch(
    /intermediate relay said at \S+Z that it stops, and has not answered since/,
  );
  expect(out).toContain(`(${address})`);
  expect(out).toContain('-> start it again');

  const socket = await dial(ready.listen);
  socket.write('GET http://web.ztna.internal/ HTTP/1.1\r\nHost: web.ztna.internal\r\n\r\n');
  const [answer] = (await once(socket, 'data')) as [Buffer];
  expect(answer.toString()).toMatch(/^HTTP\/1\.1 504 /);
  child.kill('SIGTERM');
  const said = (await errors)
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  const warnings = said.filter(({ code: c }) => c === 'intermediate-stopped');
  expect(warnings.map(({ msg }) => msg)).toContain('no intermediate can be reached: trying on');
  await stack.restartIntermediate();
});

async function status() {
  const { code, out } = await ztna.run('status', '--config', config, '--json');
  const all = JSON.parse(out);
  return { code, all, healthy: all.healthy, component: all.components[0] };
}
