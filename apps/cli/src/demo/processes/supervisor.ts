import { join } from 'node:path';
import { Child } from './child.ts';

export interface SupervisorOptions {
  /** The program that all children run: the command line interface. */
  readonly main: string;
  /** Logs are NAME.log in here. */
  readonly logDir: string;
  readonly cwd: string;
  /** Time for the orderly end of a child before it is killed, ms. */
  readonly graceMs: number;
}

/** Starts processes and sees to it that none is left. A child that ends by itself aborts `signal`. */
export class Supervisor implements AsyncDisposable {
  readonly children: Child[] = [];
  readonly #options: SupervisorOptions;
  readonly #failure = new AbortController();

  constructor(options: SupervisorOptions) {
    this.#options = options;
    process.on('exit', this.#killAll);
  }

  /** Aborted with a `process-died` fault when a child ends that was not asked to. */
  get signal(): AbortSignal {
    return this.#failure.signal;
  }

  /** Runs `MAIN ARGS`. */
  start(name: string, args: readonly string[]): Child {
    const { main, logDir, cwd } = this.#options;
    const child = Child.start({ name, args: [main, ...args], logFile: join(logDir, `${name}.log`), cwd });
    this.children.push(child);
    void child.ended.then((how) => {
      if (!child.stopping) this.#failure.abort(child.fault(`${how} by itself`));
    });
    return child;
  }

  /** Stops all children, last started first; those that do not end are killed. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.children.toReversed()) await child.stop(this.#options.graceMs);
    process.off('exit', this.#killAll);
  }

  readonly #killAll = () => {
    for (const child of this.children) child.kill();
  };
}
