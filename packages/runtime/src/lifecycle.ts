import { inspect } from 'node:util';
import type { Logger } from './log.ts';

export type StopSignal = 'SIGINT' | 'SIGTERM';
const signalNumber: Readonly<Record<StopSignal, number>> = { SIGINT: 2, SIGTERM: 15 };

/** `timeout` and shells signal a process and its group: the same wish, told twice within this time, ms. */
const DOUBLED_MS = 500;

// biome-ignore lint/suspicious/noExplicitAny: each event has arguments of its own
type Handler = (...args: any[]) => void;

/** The part of `process` that a lifecycle uses; tests give an EventEmitter. */
export interface ProcessEvents {
  on(event: string, listener: Handler): unknown;
  off(event: string, listener: Handler): unknown;
}

export interface LifecycleOptions {
  readonly process: ProcessEvents;
  /** Ends the process at once. */
  readonly exit: (code: number) => void;
  /** How long an orderly stop may take, ms. */
  readonly deadlineMs?: number;
}

/**
 * Signals and last resorts of one process. The first SIGINT or SIGTERM aborts `signal`; a second one half a second
 * later or more, or the deadline, ends the process with 128 + the signal's number. SIGHUP runs the reload hooks, if
 * there are any.
 */
export class Lifecycle implements Disposable {
  readonly #controller = new AbortController();
  readonly #options: LifecycleOptions;
  readonly #reloads: (() => unknown)[] = [];
  readonly #handlers = new Map<string, Handler>();
  #deadlineMs: number;
  #deadline: NodeJS.Timeout | undefined;
  #reloading: Promise<void> = Promise.resolve();
  #received: StopSignal | undefined;
  #receivedAt = 0;
  /** Used for what happens outside of any call: failed reloads, forced ends, bugs. */
  log: Logger | undefined;

  constructor(options: LifecycleOptions) {
    this.#options = options;
    this.#deadlineMs = options.deadlineMs ?? 10_000;
    this.#listen('SIGINT', () => this.#onStop('SIGINT'));
    this.#listen('SIGTERM', () => this.#onStop('SIGTERM'));
    this.#listen('unhandledRejection', (reason: unknown) => this.#onBug('unhandled rejection', reason));
    this.#listen('uncaughtException', (error: unknown) => this.#onBug('uncaught exception', error));
  }

  /** Aborted when the process is asked to stop. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The signal that asked to stop, if one did. */
  get received(): StopSignal | undefined {
    return this.#received;
  }

  /** 128 + the number of the signal that asked to stop; undefined when none did. */
  get signalExitCode(): number | undefined {
    return this.#received && 128 + signalNumber[this.#received];
  }

  /** Time allowed from the first signal to the end of the process, ms; drains may need long. */
  setDeadline(ms: number): void {
    this.#deadlineMs = ms;
  }

  /** Asks to stop as SIGTERM does. */
  stop(): void {
    this.#onStop('SIGTERM');
  }

  /** From now on the process has the deadline's time to end by itself, then it ends with `exitCode`. */
  startDeadline(exitCode: number): void {
    if (this.#deadline) return;
    this.#deadline = setTimeout(() => {
      this.log?.error(
        { event: 'process.cut-off', deadlineMs: this.#deadlineMs },
        'not stopped by the deadline: ending at once',
      );
      this.#options.exit(exitCode);
    }, this.#deadlineMs);
  }

  /** Runs `hook` on SIGHUP. Hooks run one after another, never twice at once; what they throw is logged. */
  onReload(hook: () => unknown): void {
    this.#reloads.push(hook);
    if (!this.#handlers.has('SIGHUP')) this.#listen('SIGHUP', () => this.#onReload());
  }

  /** Resolves when the process is asked to stop, and keeps it alive until then. */
  untilStopped(): Promise<void> {
    if (this.signal.aborted) return Promise.resolve();
    const alive = setInterval(() => {}, 0x7fffffff);
    return new Promise((resolve) => {
      this.signal.addEventListener('abort', () => {
        clearInterval(alive);
        resolve();
      });
    });
  }

  /** Takes the handlers off. */
  [Symbol.dispose](): void {
    clearTimeout(this.#deadline);
    for (const [event, handler] of this.#handlers) this.#options.process.off(event, handler);
    this.#handlers.clear();
  }

  #listen(event: string, handler: Handler): void {
    this.#handlers.set(event, handler);
    this.#options.process.on(event, handler);
  }

  #onStop(signal: StopSignal): void {
    if (this.#received) {
      if (performance.now() - this.#receivedAt < DOUBLED_MS) return;
      this.log?.warn({ event: 'process.cut-off', signal }, 'second signal: ending at once');
      this.#options.exit(128 + signalNumber[signal]);
      return;
    }
    this.#received = signal;
    this.#receivedAt = performance.now();
    this.log?.info({ event: 'process.stopping', signal }, 'stopping on a signal');
    this.startDeadline(128 + signalNumber[signal]);
    this.#controller.abort(new StoppedError(signal));
  }

  #onReload(): void {
    this.#reloading = this.#reloading.then(async () => {
      for (const hook of this.#reloads) {
        try {
          await hook();
        } catch (err) {
          this.log?.error(
            { event: 'reload.failed', err },
            'reload failed: what was loaded before stays in force',
          );
        }
      }
    });
  }

  #onBug(what: string, err: unknown): void {
    if (this.log) this.log.fatal({ event: 'process.failed', err }, `${what}: this is a bug`);
    else process.stderr.write(`fatal: ${what}: this is a bug\n${inspect(err)}\n`);
    this.#options.exit(1);
  }
}

/** The reason with which `signal` is aborted. */
export class StoppedError extends Error {
  override readonly name = 'AbortError';
  readonly signal: StopSignal;

  constructor(signal: StopSignal) {
    super(`stopped by ${signal}`);
    this.signal = signal;
  }
}
