// `npm run fuzz -- [--seconds N] [--target NAME] [--seed N]`: N seconds per target, TypeScript and Rust.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { campaign } from './campaign.ts';
import { keepFailure } from './corpus.ts';
import { targets } from './targets.ts';

const crate = join(import.meta.dirname, '../../native/fuzz');
const rustTargets = readdirSync(join(crate, 'fuzz_targets')).map((file) => file.replace(/\.rs$/, ''));

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    target: { type: 'string' },
    seed: { type: 'string' },
  },
});
const seconds = Number(values.seconds);
const seed = Number(values.seed ?? Date.now() % 2 ** 32);
const only = values.target;
if (!(seconds > 0) || !Number.isInteger(seed)) fail('--seconds and --seed take numbers');
// Names are `control` for TypeScript and `rust:cid` for Rust.
const ours = Object.entries(targets).filter(([name]) => only === undefined || only === name);
const rust = rustTargets.filter((name) => only === undefined || only === `rust:${name}`);
if (ours.length + rust.length === 0) {
  fail(
    `no target ${only}; there are ${[...Object.keys(targets), ...rustTargets.map((name) => `rust:${name}`)].join(', ')}`,
  );
}

const failed = ours.filter(([name, target]) => !runOurs(name, target)).map(([name]) => name);
if (rust.length > 0) failed.push(...runRust());
console.log(failed.length === 0 ? 'nothing found in what ran' : `failed: ${failed.join(', ')}`);
process.exitCode = failed.length === 0 ? 0 : 1;

function runOurs(name: string, target: (bytes: Uint8Array) => void): boolean {
  const { runs, failure } = campaign(name, target, { seed, deadline: performance.now() + seconds * 1000 });
  console.log(`${name}: ${runs} runs, seed ${seed}`);
  if (failure === undefined) return true;
  console.error(failure.error);
  console.error(`  kept as ${keepFailure(name, failure.input)}`);
  console.error(`  again: npm run fuzz -- --target ${name} --seed ${seed} --seconds ${seconds}`);
  return false;
}

function runRust(): string[] {
  const missing = [
    ...(works('cargo', ['+nightly', '--version'])
      ? []
      : ['a nightly Rust (rustup toolchain install nightly)']),
    ...(works('cargo', ['fuzz', '--version']) ? [] : ['cargo-fuzz (cargo install cargo-fuzz)']),
  ];
  if (missing.length > 0) {
    console.log(`Rust targets were not run; missing: ${missing.join(', ')}`);
    return [];
  }
  return rust
    .filter((name) => {
      // New inputs go to a folder of their own, so that the committed corpus stays small.
      const args = ['+nightly', 'fuzz', 'run', '--fuzz-dir', '.', name, scratch(name), `corpus/${name}`];
      const limits = [`-max_total_time=${seconds}`, `-seed=${seed % 2 ** 31 || 1}`, '-timeout=10'];
      return spawnSync('cargo', [...args, '--', ...limits], { cwd: crate, stdio: 'inherit' }).status !== 0;
    })
    .map((name) => `rust:${name}`);
}

function scratch(name: string): string {
  const folder = join(crate, 'target', 'found', name);
  mkdirSync(folder, { recursive: true });
  return folder;
}

function works(command: string, args: string[]): boolean {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0;
}

function fail(message: string): never {
  console.error(message);
  process.exit(2);
}
