import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import {
  ConfigError,
  checkIntermediate,
  connectorSchema,
  intermediateSchema,
  loadConfig,
  parseConfig,
} from './index.ts';

const minimal = `
identity: { certificateFile: cert.pem, privateKeyFile: /keys/key.pem }
trust:
  bundleFile: ../trust/bundle.pem
snapshotFile: snapshot.bin
`;

test('a minimal file gets every default, and paths from its own folder', () => {
  const { value } = parse(minimal);
  expect(value.listen).toBe('[::]:4433');
  expect(value.metrics.listen).toBe('127.0.0.1:9090');
  expect(value.log).toEqual({ level: 'info', format: 'auto' });
  expect(value.identity).toEqual({ certificateFile: '/etc/ztna/cert.pem', privateKeyFile: '/keys/key.pem' });
  expect(value.trust.bundleFile).toBe('/etc/trust/bundle.pem');
  expect(value.stateDir).toBe('/etc/ztna/state');
});

test('JSON with tabs is read as well as YAML', () => {
  const json = JSON.stringify({ ...parse(minimal).value, stateDir: 's' }, null, '\t');
  expect(parse(json).value.stateDir).toBe('/etc/ztna/s');
});

test('all mistakes are told at once, each with its place and what was meant', () => {
  const text = `listn: "[::]:4433"
identity:
  certificateFile: cert.pem
  privateKey: |
    -----BEGIN PRIVATE KEY-----
log:
  level: inof
limits:
  connections: many
  handshakes: 0
trust: x
snapshotFile: [a]
metrics:
  listen: 256.0.0.1:99
`;
  expect(issues(text)).toEqual([
    "1:1 listn: unknown field; did you mean 'listen'?",
    '3:3 identity.privateKeyFile: is missing (PEM private key (PKCS#8) of the leaf)',
    "4:3 identity.privateKey: unknown field; did you mean 'privateKeyFile'?",
    "7:10 log.level: 'inof' is not one of trace, debug, info, warn, error, fatal, silent; did you mean 'info'?",
    "9:16 limits.connections: must be a whole number, but is 'many' (a string)",
    '10:15 limits.handshakes: 0 is too small: must be from 1 to 100000',
    "11:8 trust: must be a group of fields, but is 'x' (a string)",
    '12:15 snapshotFile: must be a string, but is a list',
    "14:11 metrics.listen: '256.0.0.1:99' is not an address to listen on, like 127.0.0.1:9090, or 'off'",
  ]);
});

test.each([
  ['', ['1:1 : the file is empty']],
  ['a: {{: [\nb: }', [expect.stringMatching(/^2:1 : this is neither JSON nor YAML: /)]],
  ['\0', ['1:1 : the file is not text']],
  ['a: 1\na: 2\n', ['2:1 : Map keys must be unique']],
  [`${minimal}---\n{}\n`, ['6:1 : a second document; there must be one']],
  [
    'a: [1',
    [
      '1:6 : this is neither JSON nor YAML: Flow sequence in block collection must be sufficiently indented and end with a ]',
    ],
  ],
  ['- 1', ['1:1 (top): must be a group of fields, but is a list']],
])('%j is refused', (text, expected) => {
  expect(issues(text)).toEqual(expected);
});

test('rules between fields point at the field', () => {
  const text = `${minimal}keys:\n  resetKeyFile: reset.key\ntransport: { idleTimeoutMs: 2000, keepAliveMs: 1500 }\n`;
  expect(issues(text)).toEqual([
    '7:17 keys.resetKeyFile: needs keys.serverId: reset keys are derived from both',
    '8:48 transport.keepAliveMs: 1500 must be at most half of idleTimeoutMs (2000)',
  ]);
});

test('a key pasted into the file is not repeated in the error', () => {
  const key = 'A'.repeat(100);
  const error = failure(`${minimal}log:\n  level: ${key}\n`);
  expect(error.message).not.toContain(key);
});

test('aliases that would grow without bound are refused', () => {
  const lines = ['a: &a [x, x, x, x, x, x, x, x, x, x]'];
  for (const [from, to] of ['ab', 'bc', 'cd', 'de', 'ef'])
    lines.push(`${to}: &${to} [${`*${from},`.repeat(10)}]`);
  expect(() => parse(lines.join('\n'))).toThrow('Excessive alias count');
});

test('a file that a field names, and that cannot be read, is blamed on the field', async () => {
  await using dir = await mkdtempDisposable('/tmp/ztna-config-');
  const file = join(dir.path, 'edge.yaml');
  await writeFile(file, minimal.replace('/keys/key.pem', 'none.pem'));
  const config = await loadConfig(file, intermediateSchema);
  await expect(config.readFile(['identity', 'privateKeyFile'])).rejects.toThrow(
    /edge\.yaml:2:56: identity\.privateKeyFile: cannot read .*none\.pem: no such file/,
  );
});

test('a configuration that is not there, or a folder, is a fault of the configuration', async () => {
  await expect(loadConfig('/nowhere.yaml', intermediateSchema)).rejects.toMatchObject({
    code: 'config-unreadable',
    message: 'cannot read the configuration file /nowhere.yaml: no such file or directory',
  });
  await expect(loadConfig('/tmp', intermediateSchema)).rejects.toThrow('it is a directory');
});

test('direct paths are on, with no address of containers, virtual machines and overlay networks', () => {
  const { value } = parseConfig(minimal, 'c.yaml', '/etc/ztna/c.yaml', connectorSchema);
  expect(value.direct).toMatchObject({ enabled: true, portMapping: true, addresses: [] });
  expect(value.direct.interfaces.allow).toEqual(['*']);
  expect(value.direct.interfaces.deny).toEqual(expect.arrayContaining(['docker*', 'wg*', 'tun*', 'ztna*']));
});

test.each([
  ['203.0.113.7', true],
  ['203.0.113.7:4433', true],
  ['2001:db8::7', true],
  ['[2001:db8::7]:4433', true],
  ['203.0.113.7:0', false],
  ['203.0.113.256', false],
  ['relay.example:4433', false],
  ['203.0.113.0/24', false],
])('%s as an address to announce: %s', (address, valid) => {
  const text = `${minimal}direct: { addresses: ["${address}"] }\n`;
  const run = () => parseConfig(text, 'c.yaml', '/etc/ztna/c.yaml', connectorSchema);
  if (valid) expect(run().value.direct.addresses).toEqual([address]);
  else expect(run).toThrow('is not an address, like 203.0.113.7');
});

function parse(text: string) {
  return parseConfig(text, 'edge.yaml', '/etc/ztna/edge.yaml', intermediateSchema, checkIntermediate);
}

function failure(text: string): ConfigError {
  try {
    parse(text);
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  throw new Error('the text was accepted');
}

function issues(text: string): string[] {
  return failure(text).issues.map((i) => `${i.line}:${i.column} ${i.path}: ${i.message}`);
}
