import { createSocket } from 'node:dgram';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type IssuableRole, initPki, issueIdentity, signDocument } from '@ztna/identity/pki';
import { Role } from './process.ts';

const main = join(import.meta.dirname, '../apps/cli/src/main.ts');
const SITE = 'site';
const components = {
  intermediate: { role: 'intermediate', name: 'relay' },
  connector: { role: 'connector', name: 'c1', site: SITE },
  agent: { role: 'agent', name: 'laptop' },
} as const satisfies Record<string, { role: IssuableRole; name: string; site?: string }>;
type Component = keyof typeof components;

export interface BackendAddresses {
  readonly tcp: string;
  readonly udp: string;
}

interface Forward {
  readonly service: string;
  readonly transport: 'tcp' | 'udp';
  readonly listen: string;
}

/** Intermediate, connector and agent as an operator starts them, on loopback, with services that lead to `backends`. */
export class Stack implements AsyncDisposable {
  readonly roles: readonly Role[];
  readonly #forwards: readonly Forward[];
  readonly #stack: AsyncDisposableStack;

  private constructor(roles: readonly Role[], forwards: readonly Forward[], stack: AsyncDisposableStack) {
    this.roles = roles;
    this.#forwards = forwards;
    this.#stack = stack;
  }

  static async start(services: readonly string[], backends: BackendAddresses): Promise<Stack> {
    await using stack = new AsyncDisposableStack();
    const folder = await mkdtemp(join(tmpdir(), 'ztna-bench-'));
    stack.defer(() => rm(folder, { recursive: true, force: true }));
    const intermediateAddress = `127.0.0.1:${await freeUdpPort()}`;
    await prepare(folder, intermediateAddress, services, backends);
    const start = async (component: Component, ...args: string[]) => {
      const config = ['--config', join(folder, component, 'config.json'), '--json'];
      const role = await Role.start(component, process.execPath, [main, ...args, ...config]);
      stack.use(role);
      return { role, ready: JSON.parse(await role.line()) as { forwards?: readonly Forward[] } };
    };
    const intermediate = await start('intermediate', 'intermediate', '--listen', intermediateAddress);
    const connector = await start('connector', 'connector');
    const maps = services.flatMap((name) => ['--map', `${name}=127.0.0.1:0`]);
    const agent = await start('agent', 'forward', ...maps);
    const roles = [agent.role, intermediate.role, connector.role];
    return new Stack(roles, agent.ready.forwards ?? [], stack.move());
  }

  /** Local address of the agent that leads to a service. */
  address(service: string, transport: 'tcp' | 'udp'): string {
    const found = this.#forwards.find((f) => f.service === service && f.transport === transport);
    if (found === undefined) throw new Error(`the agent does not forward ${service} over ${transport}`);
    return found.listen;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

async function prepare(
  folder: string,
  intermediate: string,
  services: readonly string[],
  backends: BackendAddresses,
): Promise<void> {
  const nowMs = Date.now();
  const pki = join(folder, 'pki');
  await initPki({ dir: pki, trustDomain: 'bench.invalid', tenant: 'default', nowMs });
  for (const [component, who] of Object.entries(components)) {
    await issueIdentity({ dir: pki, out: join(folder, component), ...who, nowMs });
  }
  const documentFile = join(folder, 'document.json');
  await writeJson(documentFile, document(intermediate, services, backends));
  const out = join(folder, 'snapshots');
  signDocument({ dir: pki, documentFile, out, nowMs });
  for (const [component, { role, name, ...where }] of Object.entries(components)) {
    const place = 'site' in where ? [role, where.site] : [role];
    await writeJson(join(folder, component, 'config.json'), {
      listen: '127.0.0.1:0',
      metrics: { listen: 'off' },
      identity: { certificateFile: 'certificate.pem', privateKeyFile: 'key.pem' },
      trust: { bundleFile: 'trust.pem' },
      snapshotFile: join(out, ...place, `${name}.snapshot`),
      log: { level: 'warn', format: 'json' },
    });
  }
}

function document(intermediate: string, services: readonly string[], backends: BackendAddresses) {
  const port = (transport: 'tcp' | 'udp') => {
    return { transport, port: 7, backend: backends[transport], allowLocal: true };
  };
  const subject = 'bench@bench.invalid';
  return {
    trustDomain: 'bench.invalid',
    revision: 1,
    validity: '1d',
    intermediates: [{ name: components.intermediate.name, addresses: [intermediate] }],
    sites: [{ name: SITE, connectors: [components.connector.name] }],
    services: services.map((name) => {
      const connectors = [`${SITE}/${components.connector.name}`];
      return { name, ports: [port('tcp'), port('udp')], connectors };
    }),
    agents: [{ name: components.agent.name, subject }],
    policies: [{ name: 'all', who: { subjects: [subject] }, services }],
  };
}

/** The document names the intermediate's port before it is started. */
function freeUdpPort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = createSocket('udp4').once('error', reject);
    socket.bind(0, '127.0.0.1', () => {
      const { port } = socket.address();
      socket.close(() => resolve(port));
    });
  });
}

async function writeJson(file: string, value: unknown): Promise<void> {
  await writeFile(file, JSON.stringify(value, null, 2), { mode: 0o600 });
}
