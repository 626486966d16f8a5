import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Endpoint } from '@ztna/quic';
import type { Logger } from '@ztna/runtime';
import { ZtnaError } from '@ztna/wire';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Component, Reloaded } from './component.ts';
import { Reloader } from './reloader.ts';

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'ztna-reloader-'));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

const SAME: Reloaded = {
  refused: undefined,
  certificateChanged: false,
  keyChanged: false,
  trustChanged: false,
};
const refused = new ZtnaError({ code: 'snapshot-malformed', fault: 'config', happened: 'it is garbage' });

test.each<[string, Partial<Reloaded>, string[]]>([
  ['a good snapshot', {}, ['info: certificate, trust and snapshot were read again']],
  ['a bad one alone', { refused }, ['warn: snapshot file refused: the last good one stays in force']],
  [
    'a bad one beside a new certificate',
    { refused, certificateChanged: true },
    [
      'warn: snapshot file refused: the last good one stays in force',
      'info: certificate, trust and snapshot were read again',
    ],
  ],
])('what was taken is told, and only that: %s', async (_, change, expected) => {
  const { reloader, lines } = arrange({ ...SAME, ...change });
  using _reloader = reloader;
  await reloader.reload();
  expect(lines).toEqual(expected);
});

test.each([
  [0o600, []],
  [0o640, ['warn: others than its owner have rights on this private key']],
])('a private key of mode %o', (mode, expected) => {
  writeFileSync(join(home, 'file'), '');
  chmodSync(join(home, 'file'), mode);
  const { reloader, lines } = arrange(SAME);
  reloader[Symbol.dispose]();
  expect(lines).toEqual(expected);
});

function arrange(reloaded: Reloaded) {
  const lines: string[] = [];
  const say = (level: string) => (_fields: unknown, sentence: string) => lines.push(`${level}: ${sentence}`);
  const file = join(home, 'file');
  const files = {
    identity: { certificateFile: file, privateKeyFile: file },
    trust: { bundleFile: file },
    ...{ snapshotFile: file, stateDir: home },
  };
  const component = { files, snapshot: { revision: 7 }, tls: {}, reload: () => reloaded };
  const reloader = new Reloader({
    component: component as unknown as Component<'agent'>,
    endpoint: { reload: async () => {} } as unknown as Endpoint,
    log: { info: say('info'), warn: say('warn'), error: say('error') } as unknown as Logger,
    now: () => 0,
    apply: () => {},
    review: () => {},
  });
  return { reloader, lines };
}
