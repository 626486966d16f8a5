import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { dial, readAll } from './support/net.ts';
import { type Stack, startStack } from './support/stack.ts';

const CLI = fileURLToPath(new URL('../../apps/cli/src/main.ts', import.meta.url));
const running: ChildProcessWithoutNullStreams[] = [];
let stack: Stack;
let config: string;

beforeAll(async () => {
  stack = await startStack();
  config = stack.writeAgentConfig();
});
afterEach(() => {
  for (const child of running.splice(0)) child.kill('SIGKILL');
});
afterAll(() => stack[Symbol.asyncDispose]());

test('forward announces its ports, carries connections and stops on SIGTERM', async () => {
  const child = ztna('forward', '--config', config, 'echo', '--map', 'web=0', '--json');
  const { event, forwards } = await firstLine(child);
  expect(event).toBe('ready');
  expect(forwards.map((f: { transport: string; service: string }) => `${f.service}/${f.transport}`)).toEqual([
    'echo/tcp',
    'echo/udp',
    'web/tcp',
  ]);
  const socket = await dial(forwards[0].listen);
  socket.end('through the command');
  expect((await readAll(socket)).toString()).toBe('through the command');
  child.kill('SIGTERM');
  expect((await once(child, 'exit'))[0]).toBe(0);
});

test('forward --stdio has nothing on stdout but the bytes of the service', async () => {
  const child = ztna('forward', '--config', config, '--stdio', 'echo');
  const output = text(child.stdout);
  child.stdin.end('ping');
  expect(await output).toBe('ping');
  expect((await once(child, 'exit'))[0]).toBe(0);
});

test('proxy announces its port', async () => {
  const child = ztna('proxy', '--config', config, '--listen', '127.0.0.1:0', '--json');
  const { listen } = await firstLine(child);
  const socket = await dial(listen);
  socket.write('GET http://web.ztna.internal/health HTTP/1.1\r\nHost: web.ztna.internal\r\n\r\n');
  expect((await readAll(socket)).toString()).toMatch(/^HTTP\/1\.1 200 OK/);
});

test.each([
  ['an unknown service', ['ech'], 3, /did you mean echo\?.*web, echo, closed/s],
  ['a port that the service has not', ['web:22'], 3, /it has: tcp\/80/],
  ['no service', [], 2, /no service to forward/],
  ['a local port that is none', ['web', 'x'], 2, /PORT or ADDRESS:PORT/],
])('forward refuses %s', async (_, args, code, says) => {
  const child = ztna('forward', '--config', config, ...args);
  const [errors, [status]] = await Promise.all([text(child.stderr), once(child, 'exit')]);
  expect(errors).toMatch(says);
  expect(status).toBe(code);
});

test('forward tells what is wrong with its command line before it looks at the file', async () => {
  const child = ztna('forward', '--config', '/nowhere/agent.yaml', 'web', 'x');
  const [errors, [status]] = await Promise.all([text(child.stderr), once(child, 'exit')]);
  expect(errors).toMatch(/PORT or ADDRESS:PORT/);
  expect(status).toBe(2);
});

test('forward says that a port is in use', async () => {
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const { port } = taken.address() as { port: number };
  const child = ztna('forward', '--config', config, 'web', String(port));
  const [errors, [status]] = await Promise.all([text(child.stderr), once(child, 'exit')]);
  expect(errors).toMatch(new RegExp(`cannot listen on 127\\.0\\.0\\.1:${port}: the port is in use`));
  expect(status).toBe(3);
  taken.close();
});

function ztna(...args: string[]): ChildProcessWithoutNullStreams {
  const child = spawn(process.execPath, [CLI, ...args]);
  running.push(child);
  return child;
}

async function firstLine(child: ChildProcessWithoutNullStreams) {
  const lines = createInterface({ input: child.stdout });
  const errors = text(child.stderr);
  const ended = once(child, 'exit').then(async () => {
    throw new Error(`ended before it was ready: ${await errors}`);
  });
  const [line] = await Promise.race([once(lines, 'line'), ended]);
  ended.catch(() => {});
  return JSON.parse(line as string);
}
