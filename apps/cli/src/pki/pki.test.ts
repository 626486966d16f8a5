import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCli } from '@ztna/runtime';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { command } from './command.ts';

let home: string;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'ztna-cli-pki-'));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

const INIT = ['init', '--trust-domain', 'lab.example', '--no-passphrase'];

it('goes from nothing to signed snapshots', async () => {
  writeFileSync(join(home, 'conf.yaml'), document);
  expect((await pki(...INIT)).code).toBe(0);
  const issued = await pki('issue', '--role', 'connector', '--site', 'berlin', '--name', 'c1', '--json');
  expect(JSON.parse(issued.out)).toMatchObject({ id: 'spiffe://lab.example/default/connector/berlin/c1' });
  const signed = await pki('sign-snapshot', '--document', 'conf.yaml', '--out', 'snapshots');
  expect(signed).toMatchObject({ code: 0, err: '' });
  expect(signed.out).toMatch(/^revision 3 \(epoch 1\).*passed: 1\n/);
  expect(signed.out).toMatch(/^agent\/laptop +web$/m);
  const shown = await pki('show', 'snapshots/agent/laptop.snapshot', '--json');
  expect(JSON.parse(shown.out)).toMatchObject({ type: 'snapshot', snapshot: { revision: 3 } });
});

it.each([
  ['empty', '', /file is empty\n/],
  ['text', 'no snapshot', /file holds neither certificates \(PEM\) nor a snapshot\n/],
  [
    'another PEM',
    '-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n',
    /holds X509 CRL \(PEM\), but no/,
  ],
  ['a certificate that was cut', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n', /cut off/],
])('says what it was given to show: %s', async (_, text, said) => {
  writeFileSync(join(home, 'file'), text);
  const { code, out, err } = await pki('show', 'file');
  expect([code, out]).toEqual([3, '']);
  expect(err).toMatch(said);
  expect(err).toMatch(/\n {2}what to do: .*\n {2}code: pki-show \(config\)\n$/);
});

it('shows no directory', async () => {
  expect((await pki('show', '.')).err).toContain('it is a directory');
});

it('tells a document that is no YAML at once, with its place', async () => {
  await pki(...INIT);
  writeFileSync(join(home, 'conf.yaml'), 'a: {{{: [\nb: }');
  const { code, err } = await pki('sign-snapshot', '--document', 'conf.yaml', '--out', 'snapshots');
  expect(code).toBe(3);
  expect(err.match(/conf\.yaml:/g)).toHaveLength(1);
  expect(err).toMatch(/conf\.yaml:2:1: this is neither JSON nor YAML: /);
  writeFileSync(join(home, 'conf.yaml'), 'only words');
  const words = await pki('sign-snapshot', '--document', 'conf.yaml', '--out', 'snapshots');
  expect(words.err).toContain('must be a group of fields');
});

it('leaves keys unencrypted only when told to', async () => {
  const refused = await pki('init', '--trust-domain', 'lab.example');
  expect(refused).toMatchObject({ code: 2, out: '' });
  expect(refused.err).toContain('--no-passphrase');
  writeFileSync(join(home, 'passphrase'), 'correct horse\n');
  const made = await pki('init', '--trust-domain', 'lab.example', '--passphrase-file', 'passphrase');
  expect(made.code).toBe(0);
  expect(readFileSync(join(home, 'pki/issuing.key'), 'utf8')).toContain('ENCRYPTED');
  const locked = await pki('issue', '--role', 'agent', '--name', 'a');
  expect(locked.code).toBe(3);
  expect(locked.err).toMatch(/needs a passphrase\n {2}what to do: .*--passphrase-file.*ZTNA_PKI_PASSPHRASE/);
  const agent = await pki('issue', '--role', 'agent', '--name', 'a', '--passphrase-file', 'passphrase');
  expect(agent.code).toBe(0);
});

it('explains a wrong document by file, line and field', async () => {
  await pki(...INIT);
  writeFileSync(join(home, 'conf.yaml'), document.replace('services: [web]', 'services: [wbe]'));
  const { code, out, err } = await pki('sign-snapshot', '--document', 'conf.yaml', '--out', 'snapshots');
  expect([code, out]).toEqual([3, '']);
  expect(err).toContain('conf.yaml:9:');
  expect(err).toContain('policies[0].services[0]: wbe is no service of this document');
});

it('prints the schema', async () => {
  expect(JSON.parse((await pki('schema')).out)).toMatchObject({ title: 'ZTNA configuration document' });
});

const document = `trustDomain: lab.example
revision: 3
sites: [{ name: berlin, connectors: [c1] }]
intermediates: [{ name: eu-1, addresses: ['127.0.0.1:4433'] }]
services:
  - { name: web, connectors: [berlin/c1], ports: [{ transport: tcp, port: 80, backend: 'host:80' }] }
agents: [{ name: laptop, subject: alice }]
policies:
  - { name: p, who: { subjects: [alice] }, services: [web] }
tests: [{ who: laptop, service: web, expect: allow }]
`;

async function pki(...argv: string[]) {
  let out = '';
  let err = '';
  const write = (add: (text: string) => void) => ({ write: (text: string) => add(text) });
  const io = {
    stdout: write((text) => {
      out += text;
    }),
    stderr: write((text) => {
      err += text;
    }),
    env: {},
    cwd: home,
  };
  const root = {
    name: 'ztna',
    summary: 'test',
    members: [{ name: 'pki', summary: command.summary, load: async () => command }],
  };
  return { code: await runCli(root, ['pki', ...argv], io), out, err };
}
