// Builds the addon native/quic-napi and puts it where its loader looks (native/quic-napi/*.node).
//
//   node scripts/build-native.ts [--profile release|dev] [--keep-types] [--check-types]
//
// release: aws-lc-rs, LTO; what ./ztna, the tests and all published figures use.
// dev:     ring, no LTO; quick to rebuild while working on the Rust code.
//
// Nothing is done when sources and profile are those of the last build (`napi build` alone would cost
// 3 s to find that out). The type face is written to native/quic-napi/index.d.ts unless --keep-types;
// --check-types builds nothing and fails when the committed one is not what the last build generated.
import { execFileSync, spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const profiles = {
  release: ['--release', '--no-default-features', '--features', 'aws-lc-rs'],
  dev: ['--no-default-features', '--features', 'ring'],
} as const;
type Profile = keyof typeof profiles;

const root = join(import.meta.dirname, '..');
const crate = join(root, 'native/quic-napi');
const cache = join(root, 'node_modules/.cache/ztna');
const stampFile = join(cache, 'native.stamp'); // read by ./ztna
const output = join(cache, 'native'); // what napi builds, before it goes to its place
const committedTypes = join(crate, 'index.d.ts');
const generatedTypes = join(output, 'index.d.ts');

const { values } = parseArgs({
  options: {
    profile: { type: 'string', default: process.env.ZTNA_NATIVE_PROFILE ?? 'release' },
    'keep-types': { type: 'boolean', default: false },
    'check-types': { type: 'boolean', default: false },
  },
});
process.exit(values['check-types'] ? checkTypes() : main(values.profile, values['keep-types']));

function main(profile: string, keepTypes: boolean): number {
  if (!isProfile(profile)) {
    console.error(`unknown profile "${profile}": one of ${Object.keys(profiles).join(', ')}`);
    return 2;
  }
  const stamp = `${profile} ${sourceState()}`;
  const code = isBuilt(stamp) ? 0 : build(profile, stamp);
  if (code === 0 && !keepTypes && types(generatedTypes) !== types(committedTypes)) {
    copyFileSync(generatedTypes, committedTypes);
    console.error('native/quic-napi/index.d.ts changed: commit it');
  }
  return code;
}

function isProfile(name: string): name is Profile {
  return Object.hasOwn(profiles, name);
}

function isBuilt(stamp: string): boolean {
  const last = existsSync(stampFile) ? readFileSync(stampFile, 'utf8').trim() : '';
  return last === stamp && existsSync(generatedTypes) && addons(crate).length > 0;
}

function build(profile: Profile, stamp: string): number {
  rmSync(stampFile, { force: true });
  rmSync(output, { recursive: true, force: true });
  mkdirSync(output, { recursive: true });
  const targetDir = process.env.CARGO_TARGET_DIR ?? join(root, 'native/target');
  const run = spawnSync(
    join(root, 'node_modules/.bin/napi'),
    [
      'build',
      '--platform',
      '--no-js',
      '--dts',
      'index.d.ts',
      '--no-dts-cache',
      '--output-dir',
      output,
    ].concat(['--target-dir', targetDir, ...profiles[profile], '--', '--locked']),
    { cwd: crate, stdio: ['ignore', 2, 2] },
  );
  if (run.status !== 0) return run.status ?? 1;
  // Renamed, not overwritten: a running process has the old one mapped.
  for (const addon of addons(output)) {
    copyFileSync(join(output, addon), join(crate, `.${addon}.new`));
    renameSync(join(crate, `.${addon}.new`), join(crate, addon));
  }
  writeFileSync(stampFile, `${stamp}\n`);
  return 0;
}

function checkTypes(): number {
  const generated = types(generatedTypes);
  if (generated !== undefined && generated === types(committedTypes)) return 0;
  console.error('native/quic-napi/index.d.ts is not what the Rust sources generate.');
  console.error('Run `npm run build:native` and commit the result.');
  return 1;
}

function types(file: string): string | undefined {
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined;
}

function addons(folder: string): string[] {
  return readdirSync(folder).filter((name) => name.endsWith('.node') && !name.startsWith('.'));
}

function sourceState(): string {
  const script = '. "$1/scripts/native-state.sh" && native_state "$1"';
  return execFileSync('sh', ['-c', script, 'native-state', root], { encoding: 'utf8' }).trim();
}
