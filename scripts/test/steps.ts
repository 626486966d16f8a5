// Runs one step of a tier and counts what it did: a check counts as one, a test runner as its tests.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { countCargo } from './cargo.ts';
import type { VitestSummary } from './vitest-reporter.ts';

interface Common {
  readonly name: string;
  /** Compiling is not held against the tier's time budget: it depends on what is cached. */
  readonly compiles?: true;
}

export type Step = Common &
  (
    | { readonly vitest: VitestProject }
    | {
        readonly command: readonly [string, ...string[]];
        readonly folder?: string;
        /** The step does not exist (and does not count) without this file. */
        readonly needs?: string;
        readonly counts?: 'cargo';
      }
  );

type VitestProject = 'unit' | 'e2e' | 'netlab';

export interface Skip {
  readonly test: string;
  readonly reason: string;
}

export interface Result {
  readonly passed: number;
  /** One line per failure, for the summary; the details are in the output above it. */
  readonly failures: readonly string[];
  readonly skips: readonly Skip[];
}

const root = join(import.meta.dirname, '../..');
const bin = join(root, 'node_modules/.bin');
// The output goes through a pipe (it is counted), so the tools cannot see for themselves.
const colours = process.stdout.isTTY
  ? { FORCE_COLOR: '1', CARGO_TERM_COLOR: 'always' }
  : { NO_COLOR: '1', CARGO_TERM_COLOR: 'never' };
const scratch = join(root, 'node_modules/.cache/ztna/test');

export async function runStep(step: Step): Promise<Result> {
  if ('vitest' in step) return runVitest(step.vitest);
  if (step.needs && !existsSync(join(root, step.needs))) return { passed: 0, failures: [], skips: [] };
  const { code, output } = await run(step.command, step.folder ?? '.');
  if (step.counts === 'cargo') return countCargo(step.name, code, output);
  return code === 0
    ? { passed: 1, failures: [], skips: [] }
    : { passed: 0, failures: [`${step.name} (exit code ${code})`], skips: [] };
}

async function runVitest(project: VitestProject): Promise<Result> {
  const summaryFile = join(scratch, `${project}.json`);
  mkdirSync(scratch, { recursive: true });
  rmSync(summaryFile, { force: true });
  const reporter = join(import.meta.dirname, 'vitest-reporter.ts');
  const { code } = await run(
    [
      'vitest',
      'run',
      '--project',
      project,
      '--passWithNoTests',
      '--reporter=default',
      `--reporter=${reporter}`,
    ],
    '.',
    { ZTNA_VITEST_SUMMARY: summaryFile },
  );
  const died = `vitest ${project} (exit code ${code})`;
  if (!existsSync(summaryFile)) return { passed: 0, failures: [`${died}, no summary`], skips: [] };
  const summary = JSON.parse(readFileSync(summaryFile, 'utf8')) as VitestSummary;
  if (summary.failures.length > 0) return summary;
  // Vitest calls a project without tests a success; here it means that a pattern no longer matches.
  const empty = summary.passed + summary.skips.length === 0;
  if (empty) return { ...summary, failures: [`vitest ${project} found no tests`] };
  return { ...summary, failures: code === 0 ? [] : [died] };
}

interface Finished {
  readonly code: number;
  readonly output: string;
}

/** Output is shown as it comes and kept, because a runner's counts are read from it. */
function run(
  command: readonly string[],
  folder: string,
  env: Record<string, string> = {},
): Promise<Finished> {
  const [program = '', ...args] = command;
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      cwd: join(root, folder),
      env: { ...process.env, ...colours, PATH: `${bin}${delimiter}${process.env.PATH}`, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const chunks: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      process.stdout.write(chunk);
    });
    child.stderr.on('data', (chunk: Buffer) => process.stdout.write(chunk));
    child.on('error', (error) => resolve({ code: 127, output: error.message }));
    child.on('close', (code) => resolve({ code: code ?? 1, output: Buffer.concat(chunks).toString() }));
  });
}
