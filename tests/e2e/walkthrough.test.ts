import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempDisposableSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { freeTcpPort, freeUdpPort } from './support/ports.ts';

const root = join(import.meta.dirname, '../..');
const main = join(root, 'apps/cli/src/main.ts');

test('what docs/operations.md says of a first system works, typed as it stands', async () => {
  using home = mkdtempDisposableSync(join(tmpdir(), 'ztna-walkthrough-'));
  const bin = join(home.path, 'bin');
  const empty = join(home.path, 'empty');
  for (const folder of [bin, empty]) mkdirSync(folder, { mode: 0o700 });
  writeFileSync(join(bin, 'ztna'), `#!/bin/sh\nexec "${process.execPath}" "${main}" "$@"\n`);
  chmodSync(join(bin, 'ztna'), 0o755);

  const typed = await withFreePorts(stepsOf(readFileSync(join(root, 'docs/operations.md'), 'utf8')));
  const script = `set -e\ntrap 'kill $(jobs -p) && wait' EXIT\n${typed}\nztna status --config agent.yaml\n`;
  const shell = spawn('bash', ['-c', script], {
    cwd: empty,
    env: { PATH: `${bin}:${process.env.PATH}`, HOME: home.path, XDG_RUNTIME_DIR: home.path },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 60_000,
  });
  const [out, err, [code]] = await Promise.all([text(shell.stdout), text(shell.stderr), once(shell, 'exit')]);
  expect(code, err).toBe(0);
  expect(out).toMatch(/\(tcp\) -> web:80$/m);
  expect(out).toMatch(/^agent laptop {2}\(ztna forward, .*ok$/m);
  expect(out).toMatch(/berlin\/c1 {2}(relayed|direct)/);
});

/** Files as here-documents and commands, in the order of the section. */
function stepsOf(operations: string): string {
  const [, section = ''] = /^## A first system[^\n]*\n([\s\S]*?)^## /m.exec(operations) ?? [];
  const blocks = [...section.matchAll(/^```(yaml|sh)\n([\s\S]*?)^```/gm)];
  const steps = blocks.map(([, language, body = '']) => {
    const [, name] = /^# (\S+\.yaml)\n/.exec(body) ?? [];
    return language === 'yaml' ? `cat > ${name} <<'END'\n${body}END` : body.replace(/^ztna status .*$/m, '');
  });
  expect(steps.length).toBeGreaterThan(7);
  return steps.join('\n');
}

/** The ports of the document may be taken on this machine. */
async function withFreePorts(script: string): Promise<string> {
  const [intermediate, backend, local] = [await freeUdpPort(), await freeTcpPort(), await freeTcpPort()];
  return script
    .replaceAll(':4433', `:${intermediate}`)
    .replaceAll(':8080', `:${backend}`)
    .replaceAll(/\b8000\b/g, `${local}`)
    .replace(
      'ztna backend &',
      `ztna backend --listen-http 127.0.0.1:${backend} --listen-tcp-echo off --listen-udp-echo off &`,
    )
    .replaceAll(/^stateDir: .*$/gm, '$&\nmetrics: { listen: off }');
}
