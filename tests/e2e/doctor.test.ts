import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { chmodSync, copyFileSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Commands } from './support/commands.ts';
import { makePki, type TestPki } from './support/pki.ts';
import { freeUdpPort } from './support/ports.ts';
import { type Stack, startStack } from './support/stack.ts';

interface Check {
  readonly check: string;
  readonly status: string;
  readonly code: string;
  readonly message: string;
  readonly remedy?: string;
  readonly facts?: Record<string, unknown>;
}

let stack: Stack;
let ztna: Commands;

beforeAll(async () => {
  stack = await startStack();
  const runtimeDir = join(stack.pki.dir, 'run');
  mkdirSync(runtimeDir, { mode: 0o700 });
  ztna = new Commands(runtimeDir);
});
afterAll(async () => {
  ztna[Symbol.dispose]();
  await stack[Symbol.asyncDispose]();
});

test('with a good configuration nothing fails, and nothing is changed', async () => {
  const config = stack.writeAgentConfig({ proxy: { listen: '127.0.0.1:0' } });
  const { code, checks, out } = await doctor(config);
  expect(checks.filter(({ status }) => status === 'fail')).toEqual([]);
  expect(code).toBe(0);
  const of = (name: string) => checks.find(({ check }) => check === name);
  expect(of('udp')).toMatchObject({
    status: 'ok',
    facts: { intermediate: 'relay', remote: stack.intermediate.listen },
  });
  expect(of('nat')).toMatchObject({ status: 'ok', facts: { kind: 'none' } });
  expect(of('clock')).toMatchObject({ status: 'ok', facts: { aheadMs: expect.any(Number) } });
  expect(of('snapshot')).toMatchObject({ status: 'ok', facts: { revision: 1, services: 3 } });
  expect(readdirSync(join(stack.pki.dir, 'state'))).not.toContain('agent');
  expect(out).not.toContain('PRIVATE');
});

test('beside an agent that runs, its ports count as its own and its connections stay', async () => {
  const taken = await freeUdpPort();
  const config = stack.writeAgentConfig({ listen: `127.0.0.1:${taken}`, proxy: { listen: '127.0.0.1:0' } });
  const { child } = await ztna.ready('forward', '--config', config, 'web');
  const peers = 2; // and the connector
  await expect.poll(() => stack.intermediate.stats().peers, { timeout: 20_000 }).toBe(peers);
  const before = stack.logs.entries.length;
  const { code, checks } = await doctor(config);
  expect(code).toBe(0);
  expect(checks.find(({ check }) => check === 'listen')?.message).toMatch(
    `this agent runs: pid ${child.pid}`,
  );
  expect(checks.find(({ check }) => check === 'clock')?.facts).toBeDefined();
  expect(checks.find(({ check }) => check === 'port-mapping')?.message).toMatch('bound to loopback');
  await expect.poll(() => stack.intermediate.stats().peers, { timeout: 10_000 }).toBe(peers);
  const gone = () => stack.logs.entries.slice(before).filter(({ event }) => event === 'peer.gone');
  await expect.poll(gone).toMatchObject([{ level: 'info', reason: 'peer: goodbye: it was a check' }]);
  child.kill('SIGTERM');
  await once(child, 'exit');
});

test('beside an agent that was revoked while it runs, says so as status does', async () => {
  await using own = await startStack();
  const runtimeDir = join(own.pki.dir, 'run');
  mkdirSync(runtimeDir, { mode: 0o700 });
  using commands = new Commands(runtimeDir);
  const config = own.writeAgentConfig({ proxy: { listen: '127.0.0.1:0' } });
  await commands.ready('forward', '--config', config, 'web');
  const status = async () =>
    JSON.parse((await commands.run('status', '--config', config, '--json')).out).components[0];
  await expect.poll(async () => (await status())?.healthy, { timeout: 20_000 }).toBe(true);
  own.publish({ revoked: ['spiffe://test.example/default/agent/laptop'] });
  await expect.poll(async () => (await status()).problems[0]?.code, { timeout: 20_000 }).toBe('revoked');
  const { code, out, err } = await commands.run('doctor', '--config', config, '--json');
  expect([code, err]).toEqual([1, '']);
  const failed = JSON.parse(out).checks.filter((check: Check) => check.status === 'fail');
  expect(failed).toEqual([
    expect.objectContaining({
      ...{ check: 'udp', code: 'revoked', message: expect.stringContaining('refuses this agent') },
      remedy: expect.stringContaining('`revoked` of the document'),
    }),
  ]);
});

test('for people it is a table of 80 columns with remedies', async () => {
  const config = stack.writeAgentConfig({
    stateDir: join(stack.pki.dir, 'fresh'),
    snapshotFile: 'none.snapshot',
    proxy: { listen: '127.0.0.1:0' },
  });
  const { code, out } = await ztna.run('doctor', '--config', config);
  expect(code).toBe(1);
  expect(out).toMatch(/^ok {3}runtime +node v/m);
  expect(out).toMatch(/^FAIL snapshot +file-system: cannot read/m);
  expect(out).toMatch(/^ +-> name a file of `ztna pki sign-snapshot`/m);
  expect(out).toMatch(/^- {4}udp +needs a certificate and a snapshot/m);
  expect(out).toMatch(/1 failed, \d+ to look at, of 14 checks\n$/);
  const long = out.split('\n').filter((line) => line.length > 80);
  expect(long.filter((line) => line.trim().includes(' ') && !line.includes('/'))).toEqual([]);
});

interface Broken {
  readonly name: string;
  /** What is put over the configuration. */
  readonly config: () => Promise<object> | object;
  readonly check: string;
  readonly code: string;
  readonly remedy: RegExp;
}

const broken: readonly Broken[] = [
  {
    name: 'the snapshot of somebody else',
    config: () => ({ snapshotFile: join(stack.pki.dir, 'snapshots/intermediate/relay.snapshot') }),
    ...{ check: 'snapshot', code: 'snapshot-other-audience', remedy: /its own file/ },
  },
  {
    name: 'a snapshot that is none',
    config: () => ({ snapshotFile: write('garbage.snapshot', 'garbage') }),
    ...{ check: 'snapshot', code: 'snapshot-malformed', remedy: /sign-snapshot/ },
  },
  {
    name: 'a key that is none',
    config: () => ({
      identity: { certificateFile: file('certificate.pem'), privateKeyFile: write('no.pem', 'no key') },
    }),
    ...{ check: 'key', code: 'identity-file', remedy: /ztna pki issue/ },
  },
  {
    name: 'the certificate of an intermediate',
    config: async () => (await stack.pki.issue('intermediate', 'other')).files,
    ...{ check: 'certificate', code: 'certificate-wrong-role', remedy: /--role agent/ },
  },
  {
    name: 'a UDP port that somebody has',
    config: async () => {
      const socket = createSocket('udp4').bind(0, '127.0.0.1').unref();
      await once(socket, 'listening');
      return { listen: `127.0.0.1:${socket.address().port}` };
    },
    ...{ check: 'listen', code: 'listen-failed', remedy: /stop the program/ },
  },
];

test.each(broken)('$name fails as $code', async ({ config, check, code, remedy }) => {
  const own = stack.writeAgentConfig({
    ...{ proxy: { listen: '127.0.0.1:0' }, stateDir: join(stack.pki.dir, 'fresh') },
    ...(await config()),
  });
  const result = await doctor(own);
  expect(result.code).toBe(1);
  expect(result.checks.filter(({ status }) => status === 'fail')).toEqual([
    expect.objectContaining({ check, code, remedy: expect.stringMatching(remedy) }),
  ]);
});

test('an expired certificate fails as certificate-expired, and nobody is bothered with it', async () => {
  using other = await makePki();
  const agent = await other.issue('agent', 'laptop', 1_000);
  sign(other, [stack.intermediate.listen]);
  const config = write('late.json', JSON.stringify({ ...agent.files, proxy: { listen: '127.0.0.1:0' } }));
  await expect
    .poll(async () => (await doctor(config)).checks.filter(({ status }) => status === 'fail'), {
      timeout: 30_000,
    })
    .toEqual([
      expect.objectContaining({
        ...{
          check: 'certificate',
          code: 'certificate-expired',
          remedy: expect.stringContaining('ztna pki issue'),
        },
      }),
    ]);
});

test('a snapshot file that is no good beside a last good one is a warning', async () => {
  await using _ = await stack.startAgent();
  const { code, checks } = await doctor(
    stack.writeAgentConfig({ snapshotFile: write('bad.snapshot', 'bad'), proxy: { listen: '127.0.0.1:0' } }),
  );
  expect(code).toBe(0);
  expect(checks.find(({ check }) => check === 'snapshot')).toMatchObject({
    ...{ status: 'warn', code: 'snapshot-malformed', message: expect.stringContaining('the last good one') },
  });
});

test('a field that is not known fails as config-invalid, with its line; nothing else is blamed', async () => {
  const result = await doctor(stack.writeAgentConfig({ snapshotfile: 'x' }));
  const failures = result.checks.filter(({ status }) => status === 'fail');
  expect(failures).toEqual([expect.objectContaining({ check: 'configuration', code: 'config-invalid' })]);
  expect(failures[0]?.message).toMatch(/agent\.json:1:\d+: snapshotfile/);
  expect(result.code).toBe(3);
});

test('warnings are no failures: an exposed key, a proxy port in use', async () => {
  const key = join(stack.pki.dir, 'open.pem');
  copyFileSync(file('key.pem'), key);
  chmodSync(key, 0o644);
  await using taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const { port } = taken.address() as { port: number };
  const config = stack.writeAgentConfig({
    identity: { certificateFile: file('certificate.pem'), privateKeyFile: key },
    proxy: { listen: `127.0.0.1:${port}` },
  });
  const { code, checks } = await doctor(config);
  expect(code).toBe(0);
  expect(checks.find(({ check }) => check === 'key')).toMatchObject({
    code: 'key-exposed',
    remedy: `chmod 600 ${key}`,
  });
  expect(checks.find(({ check }) => check === 'listen')).toMatchObject({
    status: 'warn',
    code: 'listen-failed',
  });
});

test('an address that is silent, one that refuses and a name that is none are told apart', async () => {
  using other = await makePki();
  const agent = await other.issue('agent', 'laptop');
  await using silent = createSocket('udp4');
  silent.bind(0, '127.0.0.1');
  await once(silent, 'listening');
  sign(other, [`127.0.0.1:${silent.address().port}`]);
  const config = write('blocked.json', JSON.stringify({ ...agent.files, proxy: { listen: '127.0.0.1:0' } }));
  const blocked = await doctor(config);
  expect(blocked.code).toBe(1);
  expect(blocked.checks.find(({ check }) => check === 'udp')).toMatchObject({
    ...{
      status: 'fail',
      code: 'udp-blocked',
      remedy: expect.stringContaining('let UDP to that address through'),
    },
  });
  sign(other, [`127.0.0.1:${await freeUdpPort()}`]);
  const refused = await doctor(config);
  expect(refused.checks.find(({ check }) => check === 'udp')).toMatchObject({
    status: 'fail',
    code: 'not-listening',
    remedy: expect.stringContaining('start the intermediate'),
  });
  sign(other, ['relay.invalid:4433']);
  const unnamed = await doctor(config);
  expect(unnamed.checks.find(({ check }) => check === 'name')).toMatchObject({
    status: 'fail',
    code: 'name-unresolved',
  });
  expect(unnamed.checks.find(({ check }) => check === 'udp')?.status).toBe('skip');
});

test('an intermediate of another trust answers, and fails as handshake-failed', async () => {
  using other = await makePki();
  const agent = await other.issue('agent', 'laptop');
  sign(other, [stack.intermediate.listen]);
  const config = write('foreign.json', JSON.stringify({ ...agent.files, proxy: { listen: '127.0.0.1:0' } }));
  const { checks } = await doctor(config);
  expect(checks.find(({ check }) => check === 'udp')).toMatchObject({
    status: 'fail',
    code: 'handshake-failed',
  });
});

function sign(pki: TestPki, addresses: readonly string[]): void {
  pki.sign({
    intermediates: [{ name: 'relay', addresses }],
    sites: [{ name: 'lab', connectors: ['c1'] }],
    services: [
      {
        name: 'web',
        ports: [{ transport: 'tcp', port: 80, backend: '10.0.0.1:80' }],
        connectors: ['lab/c1'],
      },
    ],
    agents: [{ name: 'laptop', subject: 'alice' }],
    policies: [{ name: 'alice', who: { subjects: ['alice'] }, services: ['web'] }],
  });
}

function file(name: 'certificate.pem' | 'key.pem'): string {
  const { certificateFile, privateKeyFile } = stack.agentFiles.identity;
  return name === 'key.pem' ? privateKeyFile : certificateFile;
}

function write(name: string, content: string): string {
  const path = join(stack.pki.dir, name);
  writeFileSync(path, content, { mode: 0o600 });
  return path;
}

async function doctor(config: string): Promise<{ code: number | null; checks: Check[]; out: string }> {
  const { code, out, err } = await ztna.run('doctor', '--config', config, '--json');
  expect(err).toBe('');
  const { version, ok, checks } = JSON.parse(out);
  expect({ version, ok }).toEqual({ version: 1, ok: code === 0 });
  return { code, checks, out };
}
