import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AgentConfig } from '@ztna/runtime/config';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { checkMachine } from './machine.ts';

let proc: string;
beforeEach(() => {
  proc = mkdtempSync(join(tmpdir(), 'ztna-proc-'));
});
afterEach(() => rmSync(proc, { recursive: true, force: true }));

test('small UDP buffers are told with the sysctl that mends them', () => {
  arrange({ rmem: '212992', wmem: '8388608', files: '1048576' });
  expect(of('udp-buffers')).toMatchObject({
    ...{ status: 'warn', code: 'udp-buffers-small' },
    message: expect.stringContaining('net.core.rmem_max is 212992'),
    remedy: expect.stringMatching(/^sysctl -w net\.core\.rmem_max=8388608 \(/),
  });
});

test('fewer files than flows are told with the number that is needed', () => {
  arrange({ rmem: '8388608', wmem: '8388608', files: '1024' });
  expect(of('udp-buffers').status).toBe('ok');
  expect(of('file-descriptors')).toMatchObject({ code: 'few-file-descriptors', facts: { limit: 1024 } });
});

test('as many files as flows are too few: the process has others, and so have programs that are not yet served', () => {
  arrange({ rmem: '8388608', wmem: '8388608', files: '20000' });
  expect(of('file-descriptors')).toMatchObject({
    code: 'few-file-descriptors',
    message: '20000 open files; limits.flows is 20000, which takes 22024',
    remedy: expect.stringContaining('raise it to 22024 '),
  });
  rmSync(join(proc, 'self'), { recursive: true });
  rmSync(join(proc, 'sys'), { recursive: true });
  arrange({ rmem: '8388608', wmem: '8388608', files: '22024' });
  expect(of('file-descriptors').status).toBe('ok');
});

test('without a usable configuration the limit stands alone', () => {
  arrange({ rmem: '8388608', wmem: '8388608', files: '1024' });
  const check = checkMachine(undefined, proc).find((c) => c.check === 'file-descriptors');
  expect(check).toMatchObject({ status: 'ok', message: '1024 open files' });
});

test('no limit is no problem, and a system without these files is passed over', () => {
  arrange({ rmem: '8388608', wmem: '8388608', files: 'unlimited' });
  expect(of('file-descriptors').status).toBe('ok');
  rmSync(join(proc, 'sys'), { recursive: true });
  rmSync(join(proc, 'self'), { recursive: true });
  expect([of('udp-buffers').status, of('file-descriptors').status]).toEqual(['skip', 'skip']);
});

function arrange({ rmem, wmem, files }: { rmem: string; wmem: string; files: string }): void {
  mkdirSync(join(proc, 'sys/net/core'), { recursive: true });
  mkdirSync(join(proc, 'self'));
  writeFileSync(join(proc, 'sys/net/core/rmem_max'), `${rmem}\n`);
  writeFileSync(join(proc, 'sys/net/core/wmem_max'), `${wmem}\n`);
  writeFileSync(
    join(proc, 'self/limits'),
    `Max open files            ${files}             1048576    files\n`,
  );
}

function of(name: string) {
  const config = { limits: { flows: 20_000 }, proxy: { handshakes: 1_000 } } as AgentConfig;
  const check = checkMachine(config, proc).find((c) => c.check === name);
  if (!check) throw new Error(`no check ${name}`);
  return check;
}
