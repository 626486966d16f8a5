import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Address, type Lifecycle, type Logger, RuntimeFault } from '@ztna/runtime';
import { runOnce } from './once.ts';
import { logTail } from './processes/log-tail.ts';
import { type DemoReport, reportOf, row, summary } from './report.ts';
import { System } from './system/system.ts';
import { Workspace } from './system/workspace.ts';
import { ownThingsToTry, type Try, thingsToTry } from './try.ts';

export interface DemoOptions {
  readonly once: boolean;
  readonly keep: boolean;
  readonly json: boolean;
  /** Time for all of `once`. */
  readonly timeoutMs: number;
  readonly ownBackend: Address | undefined;
  readonly lifecycle: Lifecycle;
  /** Disposed at the end. */
  readonly stack: AsyncDisposableStack;
  readonly log: Logger;
  /** A line to stdout. */
  readonly print: (line: string) => void;
  /** A line to stderr. */
  readonly tell: (line: string) => void;
}

/** Runs the demonstration. Gives the exit code. Throws the fault that kept it from staying up. */
export async function runDemo(options: DemoOptions): Promise<number> {
  const workspace = options.stack.use(new Workspace({ keep: options.keep }));
  const run = { options, workspace };
  try {
    return await (options.once ? once(run) : stay(run));
  } finally {
    if (options.keep) say(run, `kept: ${workspace.dir}`, { dir: workspace.dir });
  }
}

interface Run {
  readonly options: DemoOptions;
  readonly workspace: Workspace;
}

async function once(run: Run): Promise<number> {
  const { options, workspace } = run;
  const { json, lifecycle, print, timeoutMs, ownBackend } = options;
  const started = performance.now();
  const timeUp = new AbortController();
  const timer = setTimeout(() => timeUp.abort(timeUpFault(timeoutMs)), timeoutMs);
  const results = await runOnce({
    ...{ workspace, ownBackend: ownBackend !== undefined },
    start: () => startSystem(run),
    signal: AbortSignal.any([lifecycle.signal, timeUp.signal]),
    onResult: (title, result) => {
      if (json) options.log.info({ event: 'demo.check', ...result }, title);
      else print(row(title, result));
    },
  });
  clearTimeout(timer);
  const report = reportOf(results);
  if (json) print(JSON.stringify(report));
  else print(`\n${summary(report, performance.now() - started)}`);
  lifecycle.signal.throwIfAborted();
  if (!report.ok) explainFailure(run, report);
  return report.ok ? 0 : 1;
}

async function stay(run: Run): Promise<number> {
  const { json, print, lifecycle } = run.options;
  const system = await startSystem(run).catch((error: unknown) => {
    run.workspace.keep();
    throw error;
  });
  const [forwards, proxy, visitor] = await Promise.all([
    system.forward(),
    system.proxy('agent'),
    system.proxy('visitor'),
  ]);
  const tries =
    system.backends.kind === 'own'
      ? ownThingsToTry(system, forwards, proxy)
      : thingsToTry(forwards, proxy, visitor);
  const pids = Object.fromEntries(system.supervisor.children.map(({ name, pid }) => [name, pid]));
  if (json) print(JSON.stringify({ event: 'ready', dir: run.workspace.dir, pids, try: tries }));
  else for (const line of invitation(tries)) print(line);
  const died = new Promise<never>((_, reject) => {
    const { signal } = system.supervisor;
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort);
  });
  await Promise.race([lifecycle.untilStopped(), died]).catch((error: unknown) => {
    run.workspace.keep();
    throw error;
  });
  return 0;
}

async function startSystem(run: Run): Promise<System> {
  const { options, workspace } = run;
  const system = await System.start({
    ...{ workspace, ownBackend: options.ownBackend },
    progress: (step) => say(run, `… ${step}`, { step }),
  });
  // Given up meanwhile: nobody will dispose of it any more.
  if (options.stack.disposed) await system[Symbol.asyncDispose]();
  else options.stack.use(system);
  return system;
}

function invitation(tries: readonly Try[]): string[] {
  const width = Math.max(...tries.map(({ command }) => command.length));
  return [
    '',
    'It runs. Try in another terminal:',
    '',
    ...tries.map(({ command, shows }) => `  ${command.padEnd(width)}  # ${shows}`),
    '',
    'Ctrl-C ends everything.',
  ];
}

/** Where the logs are, and the end of each. */
function explainFailure(run: Run, report: DemoReport): void {
  const { workspace, options } = run;
  workspace.keep();
  say(run, `\nlogs, kept: ${workspace.logs}`, { logs: workspace.logs });
  for (const file of readdirSync(workspace.logs)) {
    const tail = logTail(join(workspace.logs, file), 5);
    if (options.json) options.log.info({ event: 'demo.log', file, tail }, 'end of a log');
    else for (const line of [`${file}:`, ...tail.map((l) => `    ${l}`)]) options.tell(line);
  }
  const failed = report.checks.filter(({ ok }) => !ok).map(({ name }) => name);
  if (options.json) options.log.error({ event: 'demo.failed', failed }, 'not all checks hold');
}

function say({ options }: Run, line: string, fields: object): void {
  if (options.json) options.log.info({ event: 'demo.step', ...fields }, line.trim());
  else options.tell(line);
}

function timeUpFault(ms: number): RuntimeFault {
  return new RuntimeFault({
    code: 'demo-timeout',
    fault: 'internal',
    message: `the time for all of it was up, ${ms / 1000} s`,
    remedy: 'give more with --timeout',
  });
}
