import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { RuntimeFault } from '@ztna/runtime';
import { logTail } from './log-tail.ts';
import { parentPipe } from './parent-pipe.ts';

/** One line of JSON that a child printed. */
export type ChildEvent = Readonly<Record<string, unknown>>;

export interface ChildOptions {
  /** What it is called in messages: `connector`. */
  readonly name: string;
  /** Arguments of node, from the program's file on. */
  readonly args: readonly string[];
  /** Its stderr, and its stdout as well. */
  readonly logFile: string;
  readonly cwd: string;
}

const watchParent = new URL('./watch-parent.ts', import.meta.url).href;
/** Lines of a child that are kept; a child says little. */
const maxEvents = 1000;

/**
 * A process of our own, in a process group of its own (so that Ctrl-C reaches the parent alone, which then stops
 * its children in order), that dies with its parent.
 */
export class Child {
  readonly name: string;
  readonly logFile: string;
  readonly pid: number;
  /** Resolves with a sentence, `ended with exit code 3`, when the process is gone. Never rejects. */
  readonly ended: Promise<string>;
  readonly #process: ChildProcess;
  readonly #events: ChildEvent[] = [];
  readonly #waiting = new Set<() => void>();
  #end: string | undefined;
  #stopping = false;

  private constructor({ name, logFile }: ChildOptions, child: ChildProcess) {
    this.name = name;
    this.logFile = logFile;
    this.pid = child.pid ?? 0;
    this.#process = child;
    const lines = createInterface({ input: child.stdout as Readable });
    lines.on('line', (line) => this.#onLine(line));
    this.ended = new Promise((resolve) => {
      child.on('error', (error) => this.#onEnd(`could not be started: ${error.message}`, resolve));
      child.on('close', (code, signal) => {
        this.#onEnd(signal ? `was ended by ${signal}` : `ended with exit code ${code}`, resolve);
      });
    });
  }

  /** Starts `node ARGS`. A process that cannot be started is one that has ended. */
  static start(options: ChildOptions): Child {
    const log = openSync(options.logFile, 'a', 0o600);
    try {
      const child = spawn(process.execPath, ['--import', watchParent, ...options.args], {
        cwd: options.cwd,
        detached: true,
        stdio: ['ignore', 'pipe', log, 'pipe'],
      });
      // The watching pipe must not keep this process alive, nor fail it.
      const watched = child.stdio[parentPipe];
      watched?.on('error', () => {});
      (watched as { unref?: () => void } | null | undefined)?.unref?.();
      return new Child(options, child);
    } finally {
      closeSync(log);
    }
  }

  /** How it ended; undefined while it runs. */
  get end(): string | undefined {
    return this.#end;
  }

  /** Whether its end was asked for. */
  get stopping(): boolean {
    return this.#stopping;
  }

  /** All that it printed so far. */
  get events(): readonly ChildEvent[] {
    return this.#events;
  }

  /** The first event, past or future, that `is` accepts. Throws `process-died` or `process-silent`. */
  async event(
    is: (event: ChildEvent) => boolean,
    o: { timeoutMs: number; what: string },
  ): Promise<ChildEvent> {
    const timeout = AbortSignal.timeout(o.timeoutMs);
    for (;;) {
      const found = this.#events.find(is);
      if (found) return found;
      if (this.#end !== undefined) throw this.fault(`${this.#end} before it was ${o.what}`, 'process-died');
      if (timeout.aborted) {
        throw this.fault(`was not ${o.what} within ${o.timeoutMs / 1000} s`, 'process-silent');
      }
      await this.#change(timeout);
    }
  }

  /** An error about this process, with the end of its log as what to look at. */
  fault(happened: string, code = 'process-died'): RuntimeFault {
    const tail = this.tail();
    return new RuntimeFault({
      code,
      fault: 'internal',
      message: [`the ${this.name} ${happened}`, ...tail.map((line) => `    ${line}`)].join('\n'),
      remedy: `its log tells why: ${this.logFile}`,
    });
  }

  /** The last lines of its log. */
  tail(lines = 8): string[] {
    return logTail(this.logFile, lines);
  }

  /** Asks the process to end; after `graceMs` ends its whole group. Resolves when it is gone. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping = true;
    if (this.#end !== undefined) return;
    this.#process.kill('SIGTERM');
    const forced = setTimeout(() => this.kill(), graceMs);
    await this.ended;
    clearTimeout(forced);
  }

  /** Ends the process and its group at once. */
  kill(): void {
    this.#stopping = true;
    if (this.#end !== undefined || this.pid === 0) return;
    try {
      process.kill(-this.pid, 'SIGKILL');
    } catch {
      this.#process.kill('SIGKILL');
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

  #onLine(line: string): void {
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      return;
    }
    if (typeof value !== 'object' || value === null || this.#events.length >= maxEvents) return;
    this.#events.push(value as ChildEvent);
    this.#wake();
  }

  #onEnd(how: string, resolve: (how: string) => void): void {
    this.#end ??= how;
    resolve(this.#end);
    this.#wake();
  }

  #wake(): void {
    for (const waiting of [...this.#waiting]) waiting();
  }
}
