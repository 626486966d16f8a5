import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type IssuableRole, initPki, issueIdentity, signDocument } from '@ztna/identity/pki';
import type { IdentityFiles } from './identities.ts';
import { Role } from './process.ts';

const main = join(import.meta.dirname, '../apps/cli/src/main.ts');
const probe = join(import.meta.dirname, 'probe.ts');
const METRICS_MS = 5_000;
const SITE = 'site';
const components = {
  intermediate: { role: 'intermediate', name: 'relay' },
  connector: { role: 'connector', name: 'c1', site: SITE },
  agent: { role: 'agent', name: 'laptop' },
  guest: { role: 'agent', name: 'guest' },
} as const satisfies Record<string, { role: IssuableRole; name: string; site?: string }>;
type Component = keyof typeof components;

export interface BackendAddresses {
  readonly tcp: string;
  readonly udp: string;
}

export interface StackOptions {
  /** Limits of the intermediate that are not the defaults. */
  readonly limits?: Readonly<Record<string, number>>;
  /** Components tell what JavaScript holds when they are asked (`Role.ask`), and serve metrics. */
  readonly observed?: boolean;
  /** They get what time others leave: what is measured is not time. */
  readonly background?: boolean;
  /** `transport` of a component's configuration file. */
  readonly transport?: Partial<Record<Component, Readonly<Record<string, string | number>>>>;
  /** Starts what a component shall find in place of the intermediate; its ready line is the address. */
  readonly path?: (component: Component, intermediate: string) => Promise<{ role: Role; ready: string }>;
}

interface Ready {
  readonly forwards?: readonly Forward[];
}

interface Forward {
  readonly service: string;
  readonly transport: 'tcp' | 'udp';
  readonly listen: string;
}

/** A running agent with a local port for each service. */
export class AgentProcess implements AsyncDisposable {
  readonly role: Role;
  readonly #forwards: readonly Forward[];

  constructor(role: Role, forwards: readonly Forward[]) {
    this.role = role;
    this.#forwards = forwards;
  }

  /** Local address that leads to a service. */
  address(service: string, transport: 'tcp' | 'udp'): string {
    const found = this.#forwards.find((f) => f.service === service && f.transport === transport);
    if (found === undefined)
      throw new Error(`${this.role.name} does not forward ${service} over ${transport}`);
    return found.listen;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.role.stop();
  }
}

/** Intermediate, connector and agent as an operator starts them, on loopback, with services that lead to `backends`. */
export class Stack implements AsyncDisposable {
  /** UDP address of the intermediate. */
  readonly intermediate: string;
  readonly roles: Role[] = [];
  readonly #folder: string;
  readonly #services: readonly string[];
  readonly #options: StackOptions;
  readonly #stack = new AsyncDisposableStack();
  #metrics: Partial<Record<string, string>> = {};
  #agent: AgentProcess | undefined;

  private constructor(
    folder: string,
    intermediate: string,
    services: readonly string[],
    options: StackOptions,
  ) {
    this.#folder = folder;
    this.intermediate = intermediate;
    this.#services = services;
    this.#options = options;
    this.#stack.defer(() => rm(folder, { recursive: true, force: true }));
  }

  static async start(
    services: readonly string[],
    backends: BackendAddresses,
    options: StackOptions = {},
  ): Promise<Stack> {
    const folder = await mkdtemp(join(tmpdir(), 'ztna-bench-'));
    const intermediate = `127.0.0.1:${await freeUdpPort()}`;
    const stack = new Stack(folder, intermediate, services, options);
    try {
      const addresses: Partial<Record<Component, string>> = {};
      for (const component of ['connector', 'agent', 'guest'] as const) {
        const path = await options.path?.(component, intermediate);
        if (path !== undefined) stack.#stack.use(path.role);
        addresses[component] = path?.ready ?? intermediate;
      }
      stack.#metrics = await prepare(folder, { intermediate, ...addresses }, services, backends, options);
      const relay = await stack.#start('intermediate', 'intermediate', '--listen', intermediate);
      const connector = await stack.#start('connector', 'connector');
      stack.#agent = await stack.startAgent('agent');
      stack.roles.push(stack.#agent.role, relay.role, connector.role);
    } catch (error) {
      await stack[Symbol.asyncDispose]();
      throw error;
    }
    return stack;
  }

  /** Local address of the agent that leads to a service. */
  address(service: string, transport: 'tcp' | 'udp'): string {
    return this.#agent?.address(service, transport) ?? '';
  }

  /** One more process of an agent; `guest` is another identity than the agent of the stack. */
  async startAgent(name: 'agent' | 'guest'): Promise<AgentProcess> {
    const maps = this.#services.flatMap((service) => ['--map', `${service}=127.0.0.1:0`]);
    const { role, ready } = await this.#start(name, 'forward', ...maps);
    return new AgentProcess(role, ready.forwards ?? []);
  }

  /** What an observed component tells Prometheus. */
  async metrics(component: Component): Promise<string> {
    const response = await fetch(`http://${this.#metrics[component]}/metrics`, {
      signal: AbortSignal.timeout(METRICS_MS),
    });
    return response.text();
  }

  role(component: Exclude<Component, 'guest'>): Role {
    const found = this.roles.find(({ name }) => name === component);
    if (found === undefined) throw new Error(`there is no ${component}`);
    return found;
  }

  /** Identities of `count` more agents, which the intermediate lets in. */
  async issueAgents(count: number): Promise<IdentityFiles[]> {
    const agents: IdentityFiles[] = [];
    for (let i = 0; i < count; i++) {
      const out = join(this.#folder, `agents/a${i}`);
      const who = { role: 'agent', name: `a${i}` } as const;
      const issued = await issueIdentity({ dir: join(this.#folder, 'pki'), out, ...who, nowMs: Date.now() });
      const { certificateFile: chain, privateKeyFile: key = '', bundleFile: roots } = issued;
      agents.push({ chain, key, roots });
    }
    return agents;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }

  async #start(component: Component, ...args: string[]): Promise<{ role: Role; ready: Ready }> {
    const { observed, background = false } = this.#options;
    const node = observed ? ['--expose-gc', '--import', probe] : [];
    const config = ['--config', join(this.#folder, component, 'config.json'), '--json'];
    const command = [...node, main, ...args, ...config];
    const role = await Role.start(component, process.execPath, command, { background });
    this.#stack.use(role);
    return { role, ready: JSON.parse(await role.line()) as Ready };
  }
}

async function prepare(
  folder: string,
  /** Where each component finds the intermediate. */
  addresses: Partial<Record<Component, string>>,
  services: readonly string[],
  backends: BackendAddresses,
  { limits, observed, transport }: StackOptions,
): Promise<Partial<Record<string, string>>> {
  const nowMs = Date.now();
  const pki = join(folder, 'pki');
  await initPki({ dir: pki, trustDomain: 'bench.invalid', tenant: 'default', nowMs });
  for (const [component, who] of Object.entries(components)) {
    await issueIdentity({ dir: pki, out: join(folder, component), ...who, nowMs });
  }
  const metrics: Partial<Record<string, string>> = {};
  for (const [component, { role, name, ...where }] of Object.entries(components)) {
    const documentFile = join(folder, `${component}.json`);
    const intermediate = addresses[component as Component] ?? '';
    await writeJson(documentFile, document(intermediate, services, backends));
    const out = join(folder, 'snapshots', component);
    signDocument({ dir: pki, documentFile, out, nowMs, force: true });
    // A guest comes and goes: a port chosen now may be somebody else's when it comes again.
    if (observed && component !== 'guest') metrics[component] = `127.0.0.1:${await freeTcpPort()}`;
    const place = 'site' in where ? [role, where.site] : [role];
    await writeJson(join(folder, component, 'config.json'), {
      listen: '127.0.0.1:0',
      metrics: { listen: metrics[component] ?? 'off' },
      ...(role === 'intermediate' && limits && { limits }),
      identity: { certificateFile: 'certificate.pem', privateKeyFile: 'key.pem' },
      trust: { bundleFile: 'trust.pem' },
      snapshotFile: join(out, ...place, `${name}.snapshot`),
      transport: transport?.[component as Component] ?? {},
      log: { level: 'warn', format: 'json' },
    });
  }
  return metrics;
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
    agents: [components.agent, components.guest].map(({ name }) => ({ name, subject })),
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

async function freeTcpPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function writeJson(file: string, value: unknown): Promise<void> {
  await writeFile(file, JSON.stringify(value, null, 2), { mode: 0o600 });
}
