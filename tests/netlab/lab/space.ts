import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { LabProcess, type ProcessOptions, patienceMs } from './process.ts';

/** `root`: namespaces of the machine's root. `user`: in a user namespace, without any right outside of it. */
export type SpaceMode = 'root' | 'user';

const run = promisify(execFile);
/** Where programs are looked for. */
export const tools = `${process.env.PATH}:/usr/sbin:/sbin`;

/**
 * Namespaces of our own: a process and mount namespace in which network namespaces have names that nobody else
 * sees. The first process in it reads a pipe that we hold: when this process is gone, however it went, the kernel
 * ends every process in there, and with the last one all interfaces and rules. Nothing has to be swept up.
 */
export class Space implements AsyncDisposable {
  readonly mode: SpaceMode;
  readonly #init: LabProcess;
  readonly #pid: number;
  readonly #processes = new Set<LabProcess>();

  private constructor(mode: SpaceMode, init: LabProcess, pid: number) {
    this.mode = mode;
    this.#init = init;
    this.#pid = pid;
  }

  /** @throws Error with the reason of each mode that does not work here. */
  static async open(): Promise<Space> {
    const wanted = process.env.ZTNA_NETLAB_MODE;
    const modes: SpaceMode[] = process.getuid?.() === 0 ? ['root', 'user'] : ['user'];
    const reasons: string[] = [];
    for (const mode of modes.filter((candidate) => wanted === undefined || candidate === wanted)) {
      try {
        return await Space.#openAs(mode);
      } catch (error) {
        reasons.push(`${mode}: ${error instanceof Error ? error.message : error}`);
      }
    }
    throw new Error(`no network namespaces here: ${reasons.join('; ') || `mode ${wanted} is not possible`}`);
  }

  static async #openAs(mode: SpaceMode): Promise<Space> {
    const identity = mode === 'user' ? ['--user', '--map-root-user'] : [];
    const script = 'mount -t tmpfs none /run && mkdir -p /run/netns && ip link set lo up && echo "{}" && cat';
    const init = new LabProcess({
      name: 'namespaces',
      command: 'unshare',
      args: [...identity, '--net', '--pid', '--mount', '--fork', '--kill-child', 'sh', '-c', script],
      env: { ...process.env, PATH: tools },
    });
    try {
      await init.event(() => true, { what: 'up' });
      const pid = childOf(init.pid);
      if (pid === undefined) throw new Error('unshare has no child');
      return new Space(mode, init, pid);
    } catch (error) {
      await init.kill();
      throw error;
    }
  }

  /** Runs a shell script (`sh -e`) in a host's network, or the one of the lab itself. Gives its stdout. */
  async run(script: string, host?: string): Promise<string> {
    const enter = this.#enter(host, ['sh', '-e']);
    const child = run('nsenter', enter, {
      env: { ...process.env, PATH: tools },
      timeout: patienceMs,
      maxBuffer: 16 << 20,
    });
    child.child.stdin?.end(script);
    const { stdout } = await child;
    return stdout;
  }

  /** Starts a program in a host's network. It ends with the lab. */
  start(host: string, options: ProcessOptions): LabProcess {
    const enter = this.#enter(host, [options.command, ...options.args]);
    const started = new LabProcess({
      ...options,
      ...{ command: 'nsenter', args: enter, env: { ...process.env, ...options.env, PATH: tools } },
      target: childOf,
    });
    this.#processes.add(started);
    void started.ended.then(() => this.#processes.delete(started));
    return started;
  }

  /** A folder that is there, under the same name inside and outside, until the space ends. */
  get folder(): string {
    return `/proc/${this.#pid}/root/run`;
  }

  /** Ends everything in it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#init.kill();
    await Promise.all([...this.#processes].map((process) => process.ended));
  }

  /** Words before a command that run it on a host; by themselves, a shell. */
  into(host: string): readonly string[] {
    return ['nsenter', ...this.#enter(host, [])];
  }

  #enter(host: string | undefined, command: readonly string[]): string[] {
    const identity = this.mode === 'user' ? ['--user', '--preserve-credentials'] : [];
    const net = host === undefined ? '--net' : `--net=/proc/${this.#pid}/root/run/netns/${host}`;
    return [...identity, '--target', `${this.#pid}`, '--mount', '--pid', net, ...command];
  }
}

/** nsenter and unshare stay the parents of what they run in another process namespace. */
function childOf(pid: number): number | undefined {
  try {
    const first = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ')[0];
    return first ? Number(first) : undefined;
  } catch {
    return undefined;
  }
}
