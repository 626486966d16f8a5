import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

// The whole system as a newcomer meets it: `ztna demo`, all processes real.

const main = fileURLToPath(new URL('../../apps/cli/src/main.ts', import.meta.url));

describe('ztna demo --once', () => {
  test('makes every check and tells it as one JSON document', async () => {
    const { code, out, err } = await demo('--once', '--json');

    const { ok, checks } = JSON.parse(out);
    expect(checks.filter((check: Check) => !check.ok)).toEqual([]);
    expect([code, ok]).toEqual([0, true]);
    expect(out.trimEnd()).not.toContain('\n');
    expect(checks.map(({ name, path }: Check) => [name, path])).toEqual([
      ['start', 'none'],
      ['http-get', 'relayed'],
      ['download', 'relayed'],
      ['upload', 'relayed'],
      ['parallel-http', 'relayed'],
      ['websocket-echo', 'relayed'],
      ['udp-echo', 'relayed'],
      ['tcp-half-close', 'relayed'],
      ['no-grant', 'none'],
      ['canary-capture', 'relayed'],
      ['canary-memory', process.platform === 'linux' ? 'relayed' : 'none'],
    ]);
    for (const check of checks) {
      expect(check).toMatchObject({ ms: expect.any(Number), detail: expect.stringMatching(/\S/) });
      expect(check.skipped === true).toBe(check.name === 'canary-memory' && process.platform !== 'linux');
    }
    for (const line of err.trimEnd().split('\n')) expect(JSON.parse(line)).toHaveProperty('level');
    expect(processesOf(checks[0].detail).filter(isAlive)).toEqual([]);
  });

  test('carries a service of the user', async () => {
    const server = createServer((socket) => socket.on('error', () => {}));
    await using own = await listening(server);
    const { code, out } = await demo('--once', '--backend', `tcp:${own.address}`);
    expect(out).toMatch(/^✓ your service can be connected to .*relayed.* the connector reached /m);
    expect(out).toMatch(/^✓ an identity without a grant is refused .*not-authorized/m);
    expect(out).toMatch(/^All right: 3 checks hold/m);
    expect(code).toBe(0);
    expect(own.connections()).toBeGreaterThan(0);
  });

  test('tells what is wrong with a service that refuses, and keeps the logs', async () => {
    const address = await closedPort();
    const { code, out, err } = await demo('--once', '--backend', `tcp:${address}`, '--json');
    const { ok, checks } = JSON.parse(out);
    expect([code, ok]).toEqual([1, false]);
    expect(checks.map((check: Check) => [check.name, check.ok])).toEqual([
      ['start', true],
      ['connect', false],
      ['no-grant', true],
    ]);
    expect(checks[1].detail).toBe(
      `${address} refused the connection: nothing listens there; start your service, or correct the port`,
    );
    const logs = logsOf(err);
    expect(readdirSync(logs)).toContain('connector.log');
    rmSync(dirname(logs), { recursive: true });
  });

  test.each([
    [['--backend', 'udp:127.0.0.1:53'], 'only tcp'],
    [['--backend', '127.0.0.1:53'], 'which is not tcp:HOST:PORT'],
    [['--timeout', '0'], 'whole number from 1 to 3600'],
    [['--onc'], 'did you mean --once?'],
    [['web'], "unexpected argument 'web'"],
  ])('refuses %j', async (args, message) => {
    const { code, out, err } = await demo('--once', ...args);
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain(message);
  });

  test('ends in time with a document that says so', async () => {
    const { code, out, err } = await demo('--once', '--json', '--timeout', '1');
    const { ok, checks } = JSON.parse(out);
    expect([code, ok, checks.length]).toEqual([1, false, 11]);
    expect(checks.map(({ detail }: Check) => detail).join('\n')).toContain(
      'the time for all of it was up, 1 s',
    );
    rmSync(dirname(logsOf(err)), { recursive: true, force: true });
  });
});

describe('ztna demo', () => {
  test('stays up; what it says to try works; Ctrl-C ends all of it', async () => {
    const child = start('--json');
    const [line] = await once(createInterface(child.stdout), 'line');
    const { dir, try: tries } = JSON.parse(line) as {
      dir: string;
      try: { command: string; shows: string }[];
    };
    const outcomes: [string, boolean][] = [];
    for (const { command, shows } of tries) outcomes.push([shows, await runs(command)]);
    const pids = readdirSync(join(dir, 'logs'));

    child.kill('SIGINT');
    const [code] = await once(child, 'close');

    expect(outcomes.length).toBeGreaterThanOrEqual(5);
    expect(outcomes.filter(([shows, ok]) => ok !== !shows.startsWith('refused'))).toEqual([]);
    expect(pids).toEqual(expect.arrayContaining(['agent.log', 'backend.log', 'connector.log']));
    expect(code).toBe(0);
    expect(existsSync(dir)).toBe(false);
  });

  test('a process that dies ends it, with the reason', async () => {
    const child = start('--json');
    const errors = text(child.stderr);
    const [line] = await once(createInterface(child.stdout), 'line');
    const { dir, pids } = JSON.parse(line);
    process.kill(pids.connector, 'SIGKILL');
    const [code] = await once(child, 'close');
    rmSync(dir, { recursive: true, force: true });
    expect(code).toBe(1);
    expect(await errors).toContain('the connector was ended by SIGKILL by itself');
    expect(Object.values(pids as Record<string, number>).filter(isAlive)).toEqual([]);
  });
});

interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly path: string;
  readonly detail: string;
}

function start(...args: string[]) {
  return spawn(process.execPath, [main, 'demo', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
}

async function demo(...args: string[]) {
  const child = start(...args);
  const closed = once(child, 'close');
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const [code] = await closed;
  return { out, err, code };
}

/** Runs a line as a person would paste it; `--fail` makes an HTTP error count. */
async function runs(line: string): Promise<boolean> {
  const command = line.replace(/^curl/, 'curl --fail --silent --show-error --max-time 30 -o /dev/null');
  const child = spawn('sh', ['-c', command], { stdio: 'ignore' });
  const [code] = await once(child, 'close');
  return code === 0;
}

async function listening(server: ReturnType<typeof createServer>) {
  let connections = 0;
  server.on('connection', () => connections++);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    connections: () => connections,
    [Symbol.asyncDispose]: async () => void server.close(),
  };
}

/** A port that was free a moment ago. */
async function closedPort(): Promise<string> {
  const server = createServer();
  const { address } = await listening(server);
  server.close();
  await once(server, 'close');
  return address;
}

/** `backend 12, connector 13` → [12, 13]. */
function processesOf(detail: string): number[] {
  const pids = [...detail.matchAll(/ (\d+)/g)].map(([, pid]) => Number(pid));
  expect(pids.length).toBeGreaterThanOrEqual(5);
  return pids;
}

function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** The folder of logs that a failure names. */
function logsOf(err: string): string {
  const lines = err.trimEnd().split('\n');
  return lines.map((line) => JSON.parse(line)).find((line) => 'logs' in line).logs;
}
