import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { CpuUse } from './results.ts';

const START_TIMEOUT_MS = 20_000;
const STOP_TIMEOUT_MS = 3_000;

/** Whether measured processes may have the scheduler's round-robin class: other work then disturbs less. */
export const realtime = canUseRealtime();

/** Words before a command by which it gets it, if it may. */
export const realtimeWords: readonly string[] = realtime ? ['chrt', '-r', '1'] : [];

export interface RoleOptions {
  readonly background?: boolean;
  readonly into?: readonly string[];
}

/** Something that uses CPU, and how much so far. */
export interface Measurable {
  readonly name: string;
  readonly cpuMs: number;
}

/** A process that takes part in a measurement. */
export class Role implements AsyncDisposable {
  readonly name: string;
  readonly pid: number;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #exited: Promise<number | null>;
  readonly #lines: AsyncIterator<string>;
  #stderr = '';

  private constructor(name: string, child: ChildProcessWithoutNullStreams) {
    this.name = name;
    this.pid = child.pid ?? 0;
    this.#child = child;
    this.#exited = new Promise((resolve) => child.once('exit', resolve));
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-4_000);
    });
    child.stdin.on('error', () => {});
  }

  /**
   * Starts `command` as a process of its own; in the `background` it gets what time the others leave. The words of
   * `into` run it elsewhere.
   * @throws Error when it cannot be started.
   */
  static async start(
    name: string,
    command: string,
    args: readonly string[],
    { background = false, into = [] }: RoleOptions = {},
  ): Promise<Role> {
    const [file = command, ...rest] = [...(background ? [] : realtimeWords), ...into, command, ...args];
    const child = spawn(file, rest, { stdio: 'pipe' });
    await new Promise((resolve, reject) => child.once('spawn', resolve).once('error', reject));
    return new Role(name, child);
  }

  /** The next line that it prints. @throws Error with its last words when it ends instead. */
  async line(timeoutMs = START_TIMEOUT_MS): Promise<string> {
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => late.reject(new Error(`${this.name} says nothing`)), timeoutMs);
    try {
      const next = await Promise.race([this.#lines.next(), late.promise]);
      if (!next.done) return next.value;
      throw new Error(`${this.name} ended: ${this.#stderr.trim()}`);
    } finally {
      clearTimeout(timer);
    }
  }

  /** One line in, one line of JSON out. */
  async ask(question: string, timeoutMs?: number): Promise<unknown> {
    this.#child.stdin.write(`${question}\n`);
    return JSON.parse(await this.line(timeoutMs));
  }

  get cpuMs(): number {
    return cpuMs(this.pid);
  }

  /** Ends it at once, as a crash would. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#exited;
  }

  /** Closes its input, which ends every role; then asks less kindly. */
  async stop(): Promise<void> {
    this.#child.stdin.end();
    this.#child.kill('SIGTERM');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    await this.#exited;
    clearTimeout(timer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/** What a generator says of its own effort. */
export interface Effort {
  readonly seconds: number;
  readonly cpuMs: number;
}

/**
 * CPU use of `roles` and of the generators while `run` runs; with several generators, `load` is all of them. Time
 * counts while they measure: their start and end cost the roles next to nothing.
 */
export async function withCpu<T extends Effort>(
  roles: readonly Measurable[],
  run: () => Promise<readonly T[]>,
  together = false,
): Promise<[readonly T[], CpuUse]> {
  const before = roles.map((r) => r.cpuMs);
  const values = await run();
  const seconds = values.map((v) => v.seconds);
  const wallMs = 1_000 * (together ? Math.max(...seconds) : sum(seconds));
  const percent = (cpuMs: number) => Math.round((cpuMs / wallMs) * 100);
  const use = roles.map((r, i) => [r.name, percent(r.cpuMs - (before[i] ?? 0))] as const);
  return [values, { ...Object.fromEntries(use), load: percent(sum(values.map((v) => v.cpuMs))) }];
}

function sum(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0);
}

/**
 * CPU time of a process's threads so far; 0 where the system does not tell. From `schedstat`, in nanoseconds: `stat` is counted
 * by the clock's ticks, and a thread with a timer of its own runs at each of them.
 */
export function cpuMs(pid: number): number {
  const threads = `/proc/${pid}/task`;
  try {
    return sum(readdirSync(threads).map((id) => cpuNsOf(`${threads}/${id}/schedstat`))) / 1e6;
  } catch {
    return 0;
  }
}

function cpuNsOf(schedstat: string): number {
  try {
    return Number(readFileSync(schedstat, 'utf8').split(' ', 1)[0]);
  } catch {
    return 0;
  }
}

function canUseRealtime(): boolean {
  try {
    execFileSync('chrt', ['-r', '1', 'true'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
