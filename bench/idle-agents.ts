import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ALPN } from '@ztna/wire';
import type { IdentityFiles } from './identities.ts';
import type { IdleSettings } from './idle-role.ts';
import { Role } from './process.ts';

/** Limits of an intermediate that lets so many agents in from one address at once. */
export const roomForIdle = { connectionsPerIdentity: 100, handshakesPerSecondPerSource: 10_000 };

const script = join(import.meta.dirname, 'idle-role.ts');

/** Agents that are connected and do nothing else, all in one process that gets what time the measured ones leave. */
export class IdleAgents implements AsyncDisposable {
  readonly #role: Role;

  private constructor(role: Role) {
    this.#role = role;
  }

  /** To an intermediate, each with an identity of its own as long as there are enough. */
  static atIntermediate(remote: string, identities: readonly IdentityFiles[]): Promise<IdleAgents> {
    return IdleAgents.#start({ remote, identities, alpn: ALPN.CONTROL, greet: true });
  }

  /** To a bare relay, which knows nothing but connections. */
  static atRelay(remote: string, identities: readonly IdentityFiles[]): Promise<IdleAgents> {
    return IdleAgents.#start({ remote, identities, alpn: 'near-idle', greet: false });
  }

  static async #start(settings: IdleSettings): Promise<IdleAgents> {
    const beside = settings.identities[0]?.chain ?? '';
    const file = `${beside}.${settings.alpn.replace('/', '-')}.json`;
    await writeFile(file, JSON.stringify(settings));
    const role = await Role.start('idle', process.execPath, [script, file], { background: true });
    await role.line();
    return new IdleAgents(role);
  }

  /** Connects or leaves until so many are connected. @throws Error when that cannot be. */
  async become(count: number): Promise<void> {
    const answer = (await this.#role.ask(String(count), 60_000)) as { connections: number; error?: string };
    if (answer.error !== undefined) throw new Error(`idle agents: ${answer.error}`);
    if (answer.connections !== count) throw new Error(`${answer.connections} of ${count} idle agents stayed`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#role.stop();
  }
}
