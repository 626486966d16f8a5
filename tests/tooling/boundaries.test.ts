import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { checkBoundaries } from '../../scripts/boundaries/check.ts';
import { importOrder, type Rule, rules } from '../../scripts/boundaries/rules.ts';

let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'ztna-boundaries-'));
  write('package.json', JSON.stringify({ devDependencies: { vitest: '1' } }));
  for (const [path, dependencies] of Object.entries(workspace)) {
    const declared = Object.fromEntries(dependencies.map((name) => [name, '1']));
    write(`${path}/package.json`, JSON.stringify({ dependencies: declared }));
    write(`${path}/src/index.ts`, 'export {};\n');
  }
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const workspace = {
  'apps/agent': ['@ztna/wire', '@ztna/connector', '@ztna/quic-napi'],
  'apps/cli': ['@ztna/agent'],
  'apps/connector': [],
  'packages/wire': ['@bufbuild/protobuf', '@ztna/quic', '@ztna/policy', '@ztna/agent'],
  'packages/policy': ['@ztna/wire'],
  'packages/quic': ['@ztna/quic-napi'],
  'packages/portmap': ['@ztna/quic', '@ztna/runtime'],
  'packages/runtime': [],
  'packages/newcomer': ['@ztna/wire'],
};

const core = 'packages/wire/src/a.ts';
const partOfPackage = 'packages/portmap/src/core/a.ts';
const shell = 'packages/quic/src/a.ts';
const portmap = 'packages/portmap/src/a.ts';
const agent = 'apps/agent/src/a.ts';
const table = 'apps/cli/src/commands.ts';
const long = '// line\n'.repeat(501);

const planted: [Rule, file: string, text: string][] = [
  ['apps-apart', agent, `import { run } from '@ztna/connector';`],
  ['apps-apart', agent, `export * from '@ztna/connector';`],
  ['apps-apart', agent, `const run = () => import('@ztna/connector');`],
  ['apps-apart', 'apps/cli/src/main.ts', `const run = () => import('@ztna/agent');`],
  ['packages-below-apps', core, `import type { Agent } from '@ztna/agent';`],
  ['one-door-to-native', agent, `import native from '@ztna/quic-napi';`],
  ['one-door-to-native', agent, `const native = createRequire(import.meta.url)('@ztna/quic-napi');`],
  ['one-door-to-native', core, `load('./ztna-quic.linux-x64-gnu.node');`],
  ['sans-io', core, `import { readFileSync } from 'node:fs';`],
  ['sans-io', core, `import { readFileSync } from 'fs';`],
  ['sans-io', core, `import { Endpoint } from '@ztna/quic';`],
  ['sans-io', partOfPackage, `import { createSocket } from 'node:dgram';`],
  ['sans-io', partOfPackage, `import { Endpoint } from '@ztna/quic';`],
  ['sans-io', partOfPackage, `import { askHttp } from '../shell/http.ts';`],
  ['sans-io-globals', partOfPackage, `setTimeout(() => {}, 1);`],
  ['sans-io-globals', core, `export const now = () => Date.now();`],
  ['sans-io-globals', core, `export const now = () => Date['now']();`],
  ['sans-io-globals', core, `export const now = () => new Date();`],
  ['sans-io-globals', core, `export const now = () => Date();`],
  ['sans-io-globals', core, `export const dice = Math.random();`],
  ['sans-io-globals', core, `setTimeout(() => {}, 1);`],
  ['sans-io-globals', core, `export const id = crypto.randomUUID();`],
  ['sans-io-globals', core, `export const t = performance.now();`],
  ['sans-io-globals', core, `export const home = process.env;`],
  ['sans-io-globals', core, `export const b = Buffer.alloc(1);`],
  ['sans-io-globals', core, `export function f(b: Buffer) { return b; }`],
  ['sans-io-globals', core, `console.log(1);`],
  ['sans-io-globals', core, `globalThis.setTimeout(() => {}, 1);`],
  ['sans-io-globals', core, `export const taken = { process };`],
  ['order', core, `import { allow } from '@ztna/policy';`],
  ['order', core, `import type { Policy } from '@ztna/policy/document';`],
  ['order', portmap, `export * from '@ztna/quic';`],
  ['order', portmap, `const load = () => import('@ztna/quic');`],
  ['order', 'packages/newcomer/src/a.ts', `import { frame } from '@ztna/wire';`],
  ['order', agent, `import { newcomer } from '@ztna/newcomer';`],
  ['declared', agent, `import { policy } from '@ztna/policy';`],
  ['declared', shell, `import pino from 'pino';`],
  ['declared', core, `import { test } from 'vitest';`],
  ['by-name', agent, `import { frame } from '../../../packages/wire/src/frame.ts';`],
  ['by-name', shell, `import native from '../../../native/quic-napi/index.js';`],
  ['by-name', table, `import { x } from '../../../packages/wire/src/x.ts';`],
  ['literal-import', agent, 'const load = (name: string) => import(name);'],
  ['long-file', agent, long],
  ['long-file', 'native/quic/src/lib.rs', long],
];

test.each(planted)('%s fires in %s: %s', (rule, file, text) => {
  write(file, text);

  const found = checkBoundaries(root);

  expect(found.map((violation) => [violation.rule, violation.file])).toContainEqual([rule, file]);
});

test('every rule has a planted violation', () => {
  expect(new Set(planted.map(([rule]) => rule))).toEqual(new Set(Object.keys(rules)));
});

const allowed: [why: string, file: string, text: string][] = [
  ['the table of commands may import apps', table, `const run = () => import('@ztna/agent');`],
  ['the same by path', table, `const run = () => import('../../agent/src/run.ts');`],
  ['packages/quic may load the addon', shell, `import native from '@ztna/quic-napi';`],
  ['a core may import a core below it', 'packages/policy/src/a.ts', `import { frame } from '@ztna/wire';`],
  [
    'the shell of portmap takes its clock from runtime',
    portmap,
    `import type { Clock } from '@ztna/runtime';`,
  ],
  ['a test may import what is above', 'packages/portmap/src/a.test.ts', `import { E } from '@ztna/quic';`],
  [
    'the shell beside a core does I/O',
    'packages/portmap/src/shell/a.ts',
    `import { c } from '../core/c.ts';\nimport 'node:dgram';`,
  ],
  ['a time that was passed in is pure', core, 'export const at = (ms: number) => new Date(ms);'],
  ['a member of that name is no global', core, 'export const f = (a: { process: 1 }) => a.process;'],
  [
    'a test of a core may read files',
    'packages/wire/src/a.test.ts',
    `import { readFileSync } from 'node:fs';`,
  ],
  ['a test may use the tools of the root', 'packages/wire/src/a.test.ts', `import { test } from 'vitest';`],
  ['a long file with its reason', agent, `// Long because: one table.\n${long}`],
  ['a generated file may be long', 'packages/wire/src/gen/a_pb.ts', long],
];

test.each(allowed)('allowed: %s', (_why, file, text) => {
  write(file, text);

  expect(checkBoundaries(root)).toEqual([]);
});

test('every package has its place in the order, and imports only those before it', () => {
  const places = Object.keys(importOrder);
  expect(places.filter((place) => place !== 'apps').sort()).toEqual(
    readdirSync(join(import.meta.dirname, '../../packages')).sort(),
  );
  for (const [index, place] of places.entries()) {
    const below = importOrder[place] ?? [];
    expect(places.slice(0, index), place).toEqual(expect.arrayContaining([...below]));
  }
});

test('an empty checkout is an error, not a pass', () => {
  const empty = join(root, 'empty');
  mkdirSync(empty);

  expect(() => checkBoundaries(empty)).toThrow('nothing was checked');
});

function write(file: string, text: string): void {
  const path = join(root, file);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}
