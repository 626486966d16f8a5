import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { root } from './commands.ts';

const main = fileURLToPath(new URL('./main.ts', import.meta.url));

describe('ztna', () => {
  test.each([[[]], [['--help']], [['help']]])('%j shows every command', async (argv) => {
    const { out, err, code } = await ztna(...argv);
    expect([code, err]).toEqual([0, '']);
    for (const { name, summary } of root.members)
      expect(out).toMatch(new RegExp(`^  ${name} +${summary}`, 'm'));
  });

  test('version is told to people and programs', async () => {
    expect((await ztna('--version')).out).toMatch(/^ztna \d+\.\d+\.\d+ \(node v\d+/);
    expect(JSON.parse((await ztna('version', '--json')).out)).toMatchObject({ node: process.version });
  });

  test.each([
    [['bakend'], 'did you mean ztna backend?'],
    [['backend', '--listen-htp', 'x'], 'did you mean --listen-http?'],
    [['backend', 'extra'], "unexpected argument 'extra'"],
    [['backend', '--listen-http', 'example.net:80'], 'must be an address like'],
    [['backend', '--log-level', 'loud'], 'one of trace, debug'],
  ])('%j is refused with exit code 2', async (argv, message) => {
    const { out, err, code } = await ztna(...argv);
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain(message);
  });

  test('a reader of the help that goes away is no error', async () => {
    const child = spawn(process.execPath, [main, '--help'], { stdio: ['ignore', 'pipe', 'pipe'] });
    child.stdout.destroy();
    const [code] = await once(child, 'close');
    expect(code).toBe(0);
  });
});

describe('ztna backend', () => {
  test('shows its options with their defaults', async () => {
    const { out } = await ztna('backend', '--help');
    expect(out).toMatch(/--listen-http ADDRESS .*default\s+127\.0\.0\.1:8080/s);
    expect(out).toContain('Examples');
  });

  test('announces its addresses as one JSON line and stops in order on SIGTERM', async () => {
    const child = spawn(process.execPath, [main, 'backend', '--json', ...ephemeral], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const [line] = await once(createInterface(child.stdout), 'line');
    const { http, tcp, udp } = JSON.parse(line);
    expect([http, tcp, udp]).toEqual(Array(3).fill(expect.stringMatching(/^127\.0\.0\.1:\d+$/)));
    expect(await (await fetch(`http://${http}/health`)).json()).toEqual({ ok: true });
    child.kill('SIGTERM');
    const [code, signal] = await once(child, 'close');
    expect([code, signal]).toEqual([0, null]);
  });

  test('points to the help of the group in which a word is unknown', async () => {
    const { err, code } = await ztna('pki', 'isue');
    expect(code).toBe(2);
    expect(err).toBe(
      "ztna pki: unknown command 'isue'\n  did you mean ztna pki issue?\n  see: ztna pki --help\n",
    );
  });

  test('says which port is in use and what to do', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const address = `127.0.0.1:${(taken.address() as AddressInfo).port}`;
    const { err, out, code } = await ztna(
      'backend',
      '--listen-http',
      '127.0.0.1:0',
      '--listen-tcp-echo',
      address,
    );
    taken.close();
    expect([code, out]).toEqual([3, '']);
    expect(err).toContain(`cannot listen on ${address}: the port is in use`);
    expect(err).toContain('--listen-tcp-echo');
  });
});

const ephemeral = ['http', 'tcp-echo', 'udp-echo'].flatMap((name) => [`--listen-${name}`, '127.0.0.1:0']);

async function ztna(...argv: string[]) {
  const child = spawn(process.execPath, [main, ...argv], { stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let err = '';
  child.stdout.setEncoding('utf8').on('data', (text) => (out += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (err += text));
  const [code] = await once(child, 'close');
  return { out, err, code };
}
