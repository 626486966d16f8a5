import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { type Effort, Role } from './process.ts';

const native = join(import.meta.dirname, '../native');

/** What a blast found: how many of how many datagrams arrived, and how late. */
export interface Blast extends Effort {
  readonly sent: number;
  readonly received: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly transport: TransportFacts | null;
}

/** The generator's own QUIC connection after a blast. */
export interface TransportFacts {
  readonly mtu: number;
  readonly lost: number;
  readonly cwnd: number;
  readonly dropped: number;
  readonly rxPackets: number;
  readonly rxCalls: number;
  readonly txPackets: number;
  readonly txCalls: number;
  readonly loops: number;
  readonly datagramsSent: number;
}

/** Times of single exchanges, microseconds. */
export interface Times extends Effort {
  readonly count: number;
  readonly failed: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly minUs: number;
}

export interface Transfer extends Effort {
  readonly bytes: number;
  readonly mbps: number;
}

/** One stream, by interval: what arrived at its far end. */
export interface Flow extends Effort {
  readonly mbps: readonly number[];
}

export type Parameters = Readonly<Record<string, string | number>>;

/** The native load generator: a JavaScript one would measure itself. */
export class Generator {
  /** The program. */
  readonly file: string;
  /** Words before its command, which run it elsewhere. */
  readonly #into: readonly string[];

  private constructor(file: string, into: readonly string[]) {
    this.file = file;
    this.#into = into;
  }

  /** Builds it when its sources have changed; `say` tells that this takes a while. @throws Error. */
  static build(say: (line: string) => void): Generator {
    const target = process.env.CARGO_TARGET_DIR ?? join(native, 'target');
    const host = /^host: (.*)$/m.exec(execFileSync('rustc', ['-vV'], { encoding: 'utf8' }))?.[1] ?? '';
    // With --target as napi builds the addon, so that both share what is compiled.
    const args = ['build', '--release', '--locked', '-p', 'ztna-load', '--target', host];
    const features = ['--no-default-features', '--features', 'aws-lc-rs'];
    say('building the load generator if it is not up to date (up to two minutes the first time)');
    const built = spawnSync('cargo', [...args, ...features, '--target-dir', target, '--quiet'], {
      cwd: native,
      stdio: ['ignore', 2, 2],
    });
    if (built.status !== 0) throw new Error('the load generator could not be built (see above)');
    return new Generator(join(target, host, 'release/ztna-load'), []);
  }

  /** The same on another host: `into` are the words that run a command there. */
  on(into: readonly string[]): Generator {
    return new Generator(this.file, into);
  }

  /** Starts a role that runs until it is disposed, and gives the line with which it says it is ready. */
  async serve(
    name: string,
    role: string,
    parameters: Parameters,
    options?: { background?: boolean },
  ): Promise<{ role: Role; ready: string }> {
    const args = [role, ...words(parameters)];
    const process = await Role.start(name, this.file, args, { ...options, into: this.#into });
    return { role: process, ready: await process.line() };
  }

  blast(parameters: Parameters, options?: { background?: boolean }): Promise<Blast> {
    return this.#run('blast', parameters, options) as Promise<Blast>;
  }

  /** A blast that is under way when this resolves. Its figures come once it is over. */
  async start(
    parameters: Parameters,
    options?: { background?: boolean },
  ): Promise<AsyncDisposable & { readonly blast: Promise<Blast> }> {
    const args = ['blast', ...words({ ...parameters, say: 1 })];
    const process = await Role.start('greedy', this.file, args, { ...options, into: this.#into });
    await process.line();
    const blast = process.line(60_000).then((line) => JSON.parse(line) as Blast);
    blast.catch(() => undefined);
    return { blast, [Symbol.asyncDispose]: () => process.stop() };
  }

  times(
    role: 'rtt' | 'handshake' | 'http',
    parameters: Parameters,
    options?: { background?: boolean },
  ): Promise<Times> {
    return this.#run(role, parameters, options) as Promise<Times>;
  }

  transfer(parameters: Parameters, options?: { background?: boolean }): Promise<Transfer> {
    return this.#run('tcp', parameters, options) as Promise<Transfer>;
  }

  flow(parameters: Parameters): Promise<Flow> {
    return this.#run('flow', parameters) as Promise<Flow>;
  }

  async #run(role: string, parameters: Parameters, options = {}): Promise<unknown> {
    const args = [role, ...words(parameters)];
    await using process = await Role.start(role, this.file, args, { ...options, into: this.#into });
    return JSON.parse(await process.line(60_000));
  }
}

function words(parameters: Parameters): string[] {
  return Object.entries(parameters).map(([name, value]) => `${name}=${value}`);
}
