import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

const CLI = fileURLToPath(new URL('../../../apps/cli/src/main.ts', import.meta.url));

/** What a command gave. */
export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Commands of `ztna` in processes that end with it. `runtimeDir` is where their control sockets are. */
export class Commands implements Disposable {
  readonly #running: ChildProcessWithoutNullStreams[] = [];
  readonly #runtimeDir: string;

  constructor(runtimeDir: string) {
    this.#runtimeDir = runtimeDir;
  }

  start(...args: string[]): ChildProcessWithoutNullStreams {
    const env = { ...process.env, XDG_RUNTIME_DIR: this.#runtimeDir };
    const child = spawn(process.execPath, [CLI, ...args], { env });
    this.#running.push(child);
    return child;
  }

  /** Starts it and waits for its first line, JSON, which says that it is ready. */
  async ready(...args: string[]) {
    const child = this.start(...args, '--json');
    const errors = text(child.stderr);
    const ended = once(child, 'exit').then(async () => {
      throw new Error(`ended before it was ready: ${await errors}`);
    });
    ended.catch(() => {});
    const [line] = await Promise.race([once(createInterface({ input: child.stdout }), 'line'), ended]);
    return { child, errors, ready: JSON.parse(line as string) };
  }

  async run(...args: string[]): Promise<Ended> {
    const child = this.start(...args);
    const [out, err, [code]] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      once(child, 'close'),
    ]);
    return { code, out, err };
  }

  [Symbol.dispose](): void {
    for (const child of this.#running) child.kill('SIGKILL');
  }
}
