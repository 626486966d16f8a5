import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Commands } from './support/commands.ts';
import { makePki, type TestIdentity, type TestPki } from './support/pki.ts';
import { type Stack, startStack } from './support/stack.ts';

let stack: Stack;
let ztna: Commands;
/** Another system with the same names. */
let other: TestPki;
let stranger: TestIdentity['files'];

beforeAll(async () => {
  stack = await startStack();
  const runtimeDir = join(stack.pki.dir, 'run');
  mkdirSync(runtimeDir, { mode: 0o700 });
  ztna = new Commands(runtimeDir);
  other = await makePki();
  stranger = (await other.issue('agent', 'laptop')).files;
  other.sign({
    intermediates: [{ name: 'relay', addresses: [stack.intermediate.listen] }],
    agents: [{ name: 'laptop', subject: 'alice' }],
  });
});
afterAll(async () => {
  ztna[Symbol.dispose]();
  other[Symbol.dispose]();
  await stack[Symbol.asyncDispose]();
});

interface Finding {
  readonly code: string;
  readonly message: string;
  readonly remedy: string;
}

test('a certificate that is not of the trust bundle: both files, and how to see whose they are', async () => {
  const { certificateFile } = stack.agentFiles.identity;
  const { bundleFile } = stranger.trust;
  const config = write({ ...stack.agentFiles, trust: stranger.trust });
  const { code, err } = await ztna.run('proxy', '--config', config, '--json');
  expect(code).toBe(3);
  const { error } = JSON.parse(err) as { error: Finding };
  expect(error.code).toBe('identity-unusable');
  const doctor = await failed(config, 'certificate');
  expect(doctor.code).toBe('certificate-untrusted');
  for (const { message, remedy } of [error, doctor]) {
    expect(message).toContain(`${certificateFile} does not lead to a root of ${bundleFile}`);
    expect(remedy).toContain(`\`ztna pki show ${bundleFile}\``);
  }
});

test('a key of another certificate: both files, what was expected, and the command that shows it', async () => {
  const { certificateFile } = stack.agentFiles.identity;
  const { privateKeyFile } = stranger.identity;
  const config = write({ ...stack.agentFiles, identity: { certificateFile, privateKeyFile } });
  const { code, err } = await ztna.run('proxy', '--config', config, '--json');
  expect(code).toBe(3);
  const { error } = JSON.parse(err) as { error: Finding };
  const shown = (await ztna.run('pki', 'show', certificateFile, '--json')).out;
  const [{ keyThumbprint }] = JSON.parse(shown).certificates;
  for (const { code, message, remedy } of [error, await failed(config, 'certificate')]) {
    expect(code).toBe('identity-file');
    expect(message).toContain(`${privateKeyFile}: the key is not that of the certificate ${certificateFile}`);
    expect(message).toContain(keyThumbprint);
    expect(remedy).toContain(`\`ztna pki show ${certificateFile}\``);
  }
});

test.each([
  ['is not trusted here', false, /this side does not trust the certificate of who answers/],
  ['does not trust this agent', true, /the intermediate does not trust the certificate of this component/],
] as const)('an intermediate that %s: whose trust bundle lacks whose root', async (_, trusted, message) => {
  const both = join(other.dir, 'both.pem');
  const roots = [stranger.trust.bundleFile, stack.agentFiles.trust.bundleFile];
  writeFileSync(both, roots.map((file) => readFileSync(file, 'utf8')).join(''));
  const config = write({ ...stranger, ...(trusted && { trust: { bundleFile: both } }) });
  const finding = {
    code: 'handshake-failed',
    remedy: expect.stringMatching(/`trust\.bundleFile`.*`ztna pki show`/),
  };
  expect(await failed(config, 'udp')).toMatchObject({ ...finding, message: expect.stringMatching(message) });
  const { child } = await ztna.ready('proxy', '--config', config);
  const problem = async () => {
    const { out } = await ztna.run('status', '--config', config, '--json');
    return JSON.parse(out).components[0]?.problems[0];
  };
  const told = { ...finding, message: expect.stringMatching(message) };
  await expect.poll(problem, { timeout: 20_000 }).toMatchObject(told);
  child.kill('SIGTERM');
  await once(child, 'exit');
});

async function failed(config: string, name: string): Promise<Finding> {
  const { out } = await ztna.run('doctor', '--config', config, '--json');
  const checks = JSON.parse(out).checks as (Finding & { check: string; status: string })[];
  const found = checks.find(({ check, status }) => check === name && status === 'fail');
  if (!found) throw new Error(`${name} did not fail: ${out}`);
  return found;
}

function write(config: object): string {
  const file = join(other.dir, 'agent.json');
  const local = { listen: '127.0.0.1:0', proxy: { listen: '127.0.0.1:0' } };
  writeFileSync(file, JSON.stringify({ ...local, ...config }));
  return file;
}
