import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  askControl,
  CONTROL_LIMITS,
  type ControlHandler,
  controlDirectories,
  findSockets,
  serveControl,
  socketName,
} from './index.ts';
import { readRequest, readResponse } from './protocol.ts';

const uid = process.getuid?.() ?? 0;
let dir: string;
let path: string;
let errors: unknown[];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ztna-control-'));
  path = join(dir, 'own', 'agent.sock');
  errors = [];
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

describe('an answer', () => {
  test('is what the handler gives', async () => {
    await using _ = await serve({ status: () => ({ sessions: [1, 2] }) });
    expect(await askControl(path, 'status')).toEqual({ sessions: [1, 2] });
  });

  test('is made once for all who ask while it is made', async () => {
    let made = 0;
    const begun = Promise.withResolvers<void>();
    const release = Promise.withResolvers<void>();
    const status = async () => {
      made++;
      begun.resolve();
      await release.promise;
      return made;
    };
    await using _ = await serve({ status, ping: () => 'pong' });
    const first = askControl(path, 'status');
    await begun.promise;
    const second = askControl(path, 'status');
    // Connections are served in their order: when this one is answered, the second has asked.
    await askControl(path, 'ping');
    release.resolve();
    expect(await Promise.all([first, second])).toEqual([1, 1]);
    expect(await askControl(path, 'status')).toBe(2);
  });

  test.each([
    ['an unknown request', '{"v":1,"request":"stop"}\n', 'unknown-request'],
    ['one that every object has', '{"v":1,"request":"constructor"}\n', 'unknown-request'],
    ['another version', '{"v":2,"request":"status"}\n', 'unsupported-version'],
    ['no JSON', 'status\n', 'malformed'],
    ['no object', 'null\n', 'malformed'],
    ['no name', '{"v":1,"request":{}}\n', 'malformed'],
    ['bytes that are no text', '\xff\xfe\x00\n', 'malformed'],
    ['an empty line', '\n', 'malformed'],
    ['a line that is too long', `${'x'.repeat(CONTROL_LIMITS.requestBytes + 1)}\n`, 'too-long'],
    ['a line that never ends', 'x'.repeat(CONTROL_LIMITS.requestBytes + 1), 'too-long'],
    ['a request that never comes', '', 'timeout'],
    ['half a request', '{"v":1,', 'timeout'],
  ])('refuses %s', async (_name, sent, code) => {
    await using _ = await serve({ status: () => 'here' });
    expect(JSON.parse(await say(sent))).toMatchObject({ ok: false, error: { code } });
    expect(await askControl(path, 'status')).toBe('here');
  });

  test('of a handler that throws tells nothing of the reason', async () => {
    const bug = new Error('a secret');
    await using _ = await serve({
      status: () => {
        throw bug;
      },
    });
    await expect(askControl(path, 'status')).rejects.toThrow(/could not be made/);
    expect(errors).toEqual([bug]);
  });

  test.each([
    ['a number that JSON does not have', () => 1n],
    ['a thing that holds itself', () => circular()],
  ])('of a handler that gives %s is an error, and the next one is answered', async (_name, status) => {
    await using _ = await serve({ status, ping: () => 'pong' });
    await expect(askControl(path, 'status')).rejects.toThrow(/could not be made/);
    expect(errors).toHaveLength(1);
    expect(await askControl(path, 'ping')).toBe('pong');
  });

  test('of a handler that gives nothing is nothing', async () => {
    await using _ = await serve({ status: () => undefined });
    expect(await askControl(path, 'status')).toBe(null);
  });

  test('is refused when it is longer than the limit', async () => {
    await using _ = await serve({ status: () => 'x'.repeat(CONTROL_LIMITS.responseBytes) });
    await expect(askControl(path, 'status')).rejects.toThrow(/too long/);
  });
});

describe('hostile programs', () => {
  test('that hold connections are bounded: those beyond are closed without a word', async () => {
    await using _ = await serve({ status: () => 'here' });
    const { connections } = CONTROL_LIMITS;
    const said = await Promise.all(Array.from({ length: connections * 3 }, () => say('')));
    expect(said.filter((answer) => answer === '')).toHaveLength(connections * 2);
    expect(said.filter((answer) => answer.includes('"timeout"'))).toHaveLength(connections);
    expect(await askControl(path, 'status')).toBe('here');
  });

  test('that never read their answer lose it in time, and hold up nobody', async () => {
    const long = 'x'.repeat(CONTROL_LIMITS.responseBytes / 2);
    await using _ = await serve({ long: () => long, status: () => 'here' });
    const socket = connect(path).pause();
    const lost = new Promise((resolve) => socket.on('error', resolve).on('close', resolve));
    socket.write('{"v":1,"request":"long"}\n');
    expect(await askControl(path, 'status')).toBe('here');
    // Writing is what tells: the socket is not read.
    const more = setInterval(() => socket.write('x'), 50);
    await lost;
    clearInterval(more);
    expect(await askControl(path, 'status')).toBe('here');
  });

  test('that send a byte now and then have no longer than others', async () => {
    await using _ = await serve({ status: () => 'here' });
    const socket = connect(path);
    const drip = setInterval(() => socket.write('x'), CONTROL_LIMITS.requestMs / 20);
    let answer = '';
    // A byte that comes after the answer is met with a reset.
    socket.on('data', (data) => (answer += data)).on('error', () => {});
    await new Promise((resolve) => socket.on('close', resolve));
    clearInterval(drip);
    expect(JSON.parse(answer)).toMatchObject({ ok: false, error: { code: 'timeout' } });
  });

  test('that send without end are cut off', async () => {
    await using _ = await serve({ status: () => 'here' });
    const socket = connect(path);
    const closed = new Promise((resolve) => socket.on('error', () => {}).on('close', resolve));
    const flood = () => {
      while (!socket.destroyed && socket.write('x'.repeat(65_536)));
    };
    socket.on('drain', flood).resume();
    flood();
    await closed;
    expect(await askControl(path, 'status')).toBe('here');
  });

  test('any line is a request or a refusal, any answer a response or nothing', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (line) => {
        expect(readRequest(line)).toBeTypeOf('object');
        expect(['object', 'undefined']).toContain(typeof readResponse(line));
      }),
    );
  });
});

describe('whoever asks', () => {
  test.each([
    ['garbage', 'garbage\n', /does not answer as a component/],
    ['an answer of another version', '{"v":9,"ok":true,"result":1}\n', /does not answer as a component/],
    ['a flood', 'x'.repeat(CONTROL_LIMITS.responseBytes + 1), /longer than/],
    ['an early end', '', /closed without an answer/],
  ])('is not fooled by %s', async (_name, answer, says) => {
    mkdirSync(join(dir, 'own'), { mode: 0o700 });
    await using server = createServer((socket) =>
      socket
        .on('error', () => {})
        .resume()
        .end(answer),
    ).listen(path);
    await once(server, 'listening');
    await expect(askControl(path, 'status')).rejects.toThrow(says);
  });

  test('does not wait for ever', async () => {
    await using _ = await serve({ status: () => new Promise(() => {}) });
    await expect(askControl(path, 'status', { timeoutMs: 50 })).rejects.toMatchObject({
      code: 'control-timeout',
    });
  });

  test('hears that nobody is there', async () => {
    await expect(askControl(path, 'status')).rejects.toMatchObject({ code: 'control-gone' });
  });
});

describe('the socket', () => {
  test('is for its owner alone, and gone when its process stops in order', async () => {
    const server = await serve({});
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(join(dir, 'own')).mode & 0o777).toBe(0o700);
    await server[Symbol.asyncDispose]();
    expect(existsSync(path)).toBe(false);
  });

  test('of a dead process is replaced', async () => {
    await killedHolder();
    expect(existsSync(path)).toBe(true);
    await using _ = await serve({ status: () => 'new' });
    expect(await askControl(path, 'status')).toBe('new');
  });

  test('of a live process is left alone', async () => {
    await using _ = await serve({ status: () => 'first' });
    await expect(serve({ status: () => 'second' })).rejects.toMatchObject({ code: 'control-in-use' });
    expect(await askControl(path, 'status')).toBe('first');
  });

  test('never replaces a file', async () => {
    mkdirSync(join(dir, 'own'), { mode: 0o700 });
    writeFileSync(path, 'precious');
    await expect(serve({})).rejects.toThrow(/no socket/);
    expect(statSync(path).size).toBe(8);
  });

  test.each([
    ['others may write to', () => chmodSync(join(dir, 'own'), 0o777)],
    [
      'is no directory',
      () => {
        rmSync(join(dir, 'own'), { recursive: true });
        symlinkSync(dir, join(dir, 'own'));
      },
    ],
  ])('is refused where %s', async (says, spoil) => {
    mkdirSync(join(dir, 'own'), { mode: 0o700 });
    spoil();
    await expect(serve({})).rejects.toThrow(says);
  });

  test('is refused where its path is too long', async () => {
    path = join(dir, 'own', 'x'.repeat(120));
    await expect(serve({})).rejects.toThrow(/a socket may have/);
  });
});

describe('places', () => {
  test('are the runtime directory, that of root, and the state folder', () => {
    const around = { env: { XDG_RUNTIME_DIR: dir }, uid, rootDirectory: '/run/x', stateDir: '/state' };
    expect(controlDirectories({ ...around, uid: 0, env: {} })).toEqual(['/run/x', '/state/run']);
    expect(controlDirectories(around)[0]).toBe(join(dir, 'ztna'));
    expect(controlDirectories({ ...around, uid: uid + 1 })).toEqual(['/state/run']);
    expect(controlDirectories({ ...around, env: { XDG_RUNTIME_DIR: 'relative' }, uid: 1 })).toEqual([
      '/state/run',
    ]);
  });

  test('show sockets of this user in directories of this user, and nothing else', async () => {
    path = join(dir, 'own', socketName('agent', 7, 'ab'));
    await using _ = await serve({});
    writeFileSync(join(dir, 'own', 'file.sock'), '');
    expect(findSockets([join(dir, 'own'), join(dir, 'none')], uid)).toEqual([path]);
    chmodSync(join(dir, 'own'), 0o770);
    expect(findSockets([join(dir, 'own')], uid)).toEqual([]);
  });
});

function serve(handlers: Record<string, ControlHandler>) {
  return serveControl({ path, uid, handlers, onError: (error) => errors.push(error) });
}

function circular(): object {
  const thing: Record<string, unknown> = {};
  thing.self = thing;
  return thing;
}

async function say(sent: string): Promise<string> {
  const socket = connect(path);
  socket.on('error', () => {});
  socket.write(Buffer.from(sent, 'latin1'));
  return text(socket);
}

/** Leaves the socket of a process that was killed. */
async function killedHolder(): Promise<void> {
  mkdirSync(join(dir, 'own'), { mode: 0o700 });
  const program = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => console.log('up'))`;
  const child: ChildProcess = spawn(process.execPath, ['-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (child.stdout) await once(child.stdout, 'data');
  child.kill('SIGKILL');
  await once(child, 'close');
}
