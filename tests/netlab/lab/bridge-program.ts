// The program of links with delay: role `bridge` of native/load. Run by itself, this builds it.
import { execFile } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

const root = join(import.meta.dirname, '../../..');
const sources = join(root, 'native/load/src');
// A place of our own: cargo would make every lab wait for whatever else it builds.
const cache = join(root, 'node_modules/.cache/ztna/netlab');
const program = join(cache, 'ztna-load');

let built: Promise<void> | undefined;

/** Path of the program, built when its sources have changed. @throws Error with what cargo says. */
export async function bridgeProgram(): Promise<string> {
  if (!isFresh()) await (built ?? build());
  return program;
}

function isFresh(): boolean {
  const time = (file: string) => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const newest = Math.max(...readdirSync(sources).map((file) => time(join(sources, file))));
  return time(program) > newest;
}

function build(): Promise<void> {
  built = (async () => {
    const target = process.env.CARGO_TARGET_DIR ?? join(root, 'native/target');
    const args = ['build', '--locked', '--quiet', '-p', 'ztna-load', '--target-dir', target];
    await promisify(execFile)('cargo', args, { cwd: join(root, 'native'), maxBuffer: 16 << 20 });
    mkdirSync(cache, { recursive: true });
    const copy = `${program}.${process.pid}`;
    copyFileSync(join(target, 'debug/ztna-load'), copy);
    renameSync(copy, program);
  })();
  return built;
}

if (import.meta.main) console.log(await bridgeProgram());
