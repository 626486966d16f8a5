import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';

export type Json = Readonly<Record<string, unknown>>;

export interface ProcessOptions {
  /** What it is called in messages. */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  /** The process that signals go to, when the one that is started only leads to it. */
  readonly target?: (pid: number) => number | undefined;
}

/**
 * Time for what must happen. Many processes may be starting at once on few, busy cores, and a test that passes does
 * not wait for it; what a scenario says about times it measures.
 */
export const patienceMs = 60_000;

export interface Deadline {
  /** By default `patienceMs`. */
  readonly withinMs?: number;
  /** Ends the sentence "… was not". */
  readonly what: string;
}

const maxLines = 50_000;

/**
 * A process that speaks JSON lines: events on stdout, log entries on stderr. Other lines become `{ text }`.
 * What it says is waited for, with a deadline, past lines included; nothing is polled.
 */
export class LabProcess implements AsyncDisposable {
  readonly name: string;
  readonly pid: number;
  readonly events: Json[] = [];
  readonly logs: Json[] = [];
  /** Resolves with how it ended: `exit code 3`, `SIGKILL`. */
  readonly ended: Promise<string>;
  readonly #process: ChildProcess;
  readonly #target: ProcessOptions['target'];
  readonly #waiting = new Set<() => void>();
  #end: string | undefined;

  constructor({ name, command, args, env, target }: ProcessOptions) {
    this.name = name;
    this.#target = target;
    this.#process = spawn(command, args, { stdio: 'pipe', ...(env && { env }) });
    this.pid = this.#process.pid ?? 0;
    this.#process.stdin?.on('error', () => {});
    this.#collect(this.#process.stdout, this.events);
    this.#collect(this.#process.stderr, this.logs);
    this.ended = new Promise((resolve) => {
      const over = (how: string) => {
        this.#end ??= how;
        resolve(this.#end);
        this.#wake();
      };
      this.#process.on('error', (error) => over(error.message));
      this.#process.on('close', (code, signal) => over(signal ?? `exit code ${code}`));
    });
  }

  /** How it ended; undefined while it runs. */
  get end(): string | undefined {
    return this.#end;
  }

  /** Writes a line to its stdin. */
  write(line: string): void {
    this.#process.stdin?.write(`${line}\n`);
  }

  /** The first line of stdout, past or future, that `is` accepts. */
  event(is: (event: Json) => boolean, deadline: Deadline): Promise<Json> {
    return this.#find(this.events, 0, is, deadline);
  }

  /** The first log entry from index `since` on that `is` accepts. */
  logged(is: (entry: Json) => boolean, deadline: Deadline, since = 0): Promise<Json> {
    return this.#find(this.logs, since, is, deadline);
  }

  /** The process that signals go to; undefined when it is gone. */
  get target(): number | undefined {
    return this.#target ? this.#target(this.pid) : this.pid;
  }

  signal(signal: NodeJS.Signals): void {
    const pid = this.target;
    if (pid === undefined || this.#end !== undefined) throw new Error(`${this.name} is not running`);
    process.kill(pid, signal);
    // nsenter stops itself when what it runs is stopped, and would not see that go on, or end.
    if (pid !== this.pid && signal !== 'SIGSTOP') process.kill(this.pid, 'SIGCONT');
  }

  /** SIGKILL; resolves when it is gone. */
  async kill(): Promise<void> {
    if (this.#end === undefined) {
      try {
        this.signal('SIGKILL');
      } catch {
        this.#process.kill('SIGKILL');
      }
    }
    await this.ended;
  }

  /** SIGTERM; killed after `graceMs`. Resolves with how it ended. */
  async stop(graceMs = 5_000): Promise<string> {
    if (this.#end === undefined) this.signal('SIGTERM');
    const timer = setTimeout(() => void this.kill(), graceMs);
    const how = await this.ended;
    clearTimeout(timer);
    return how;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.kill();
  }

  /** Its last words, for a message. */
  tail(lines = 12): string {
    return this.logs
      .slice(-lines)
      .map((entry) => `    ${JSON.stringify(entry)}`)
      .join('\n');
  }

  async #find(
    list: readonly Json[],
    since: number,
    is: (line: Json) => boolean,
    { withinMs = patienceMs, what }: Deadline,
  ): Promise<Json> {
    const timeout = AbortSignal.timeout(withinMs);
    for (let next = since; ; ) {
      for (; next < list.length; next++) {
        const line = list[next];
        if (line && is(line)) return line;
      }
      const problem = this.#end ? `ended (${this.#end}) before it was` : 'was not';
      if (this.#end !== undefined || timeout.aborted) {
        const within = this.#end === undefined ? ` within ${withinMs} ms` : '';
        throw new Error(`${this.name} ${problem} ${what}${within}; its log:\n${this.tail()}`);
      }
      await this.#change(timeout);
    }
  }

  #change(timeout: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        this.#waiting.delete(done);
        timeout.removeEventListener('abort', done);
        resolve();
      };
      this.#waiting.add(done);
      timeout.addEventListener('abort', done);
    });
  }

  #collect(stream: Readable | null, lines: Json[]): void {
    if (!stream) return;
    createInterface({ input: stream }).on('line', (line) => {
      if (lines.length < maxLines) lines.push(parse(line));
      this.#wake();
    });
  }

  #wake(): void {
    for (const waiting of [...this.#waiting]) waiting();
  }
}

function parse(line: string): Json {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === 'object' && value !== null) return value as Json;
  } catch {}
  return { text: line };
}
