import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

const CLI = fileURLToPath(new URL('../../../apps/cli/src/main.ts', import.meta.url));

/** What a command said and how it ended. */
export interface Ended {
  readonly code: number | null;
  readonly stderr: string;
}

/** Runs `ztna` with these arguments until it ends. */
export async function runToEnd(...args: string[]): Promise<Ended> {
  const child = spawn(process.execPath, [CLI, ...args], { stdio: 'pipe' });
  const [stderr, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')]);
  return { code, stderr };
}

interface Ready {
  /** Address of its server for operators. */
  readonly ops?: string;
  /** Local addresses of `forward`. */
  readonly forwards?: readonly { readonly listen: string }[];
}

/** A component as a process of its own, whose memory can be looked at. */
export class Child implements AsyncDisposable {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #exited: Promise<unknown>;
  /** What it said when it was ready. */
  readonly ready: Ready;

  private constructor(child: ChildProcessWithoutNullStreams, exited: Promise<unknown>, ready: Ready) {
    this.#child = child;
    this.#exited = exited;
    this.ready = ready;
  }

  /** Resolves when it has said that it is ready. */
  static async start(...args: string[]): Promise<Child> {
    const child = spawn(process.execPath, [CLI, ...args, '--json'], { stdio: 'pipe' });
    const exited = once(child, 'exit');
    const stderr = text(child.stderr);
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const first = await Promise.race([lines.next(), exited]);
    if (Array.isArray(first) || first.done) throw new Error(`it ended: ${await stderr}`);
    return new Child(child, exited, JSON.parse(first.value));
  }

  /** Resident memory in bytes. */
  get rss(): number {
    const { pid } = this.#child;
    if (process.platform !== 'linux') {
      return 1024 * Number(execFileSync('ps', ['-o', 'rss=', '-p', String(pid)], { encoding: 'utf8' }));
    }
    return 1024 * Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
  }

  async metric(name: string): Promise<number> {
    const text = await (await fetch(`http://${this.ready.ops}/metrics`)).text();
    const line = text
      .split('\n')
      .find((candidate) => /^[{ ]/.test(candidate.slice(name.length)) && candidate.startsWith(name));
    return Number(line?.split(' ').at(-1));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#exited;
  }
}
