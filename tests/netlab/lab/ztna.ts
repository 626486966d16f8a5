import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makePki, type TestIdentity, type TestPki } from '../../e2e/support/pki.ts';
import { Agent, type AgentOptions } from './agent.ts';
import type { Lab } from './lab.ts';
import type { LabProcess } from './process.ts';

const cli = fileURLToPath(new URL('../../../apps/cli/src/main.ts', import.meta.url));
export const relayPort = 4433;
const ops = '127.0.0.1:9090';

/** Which hosts run what; a component has the name of its host. Each connector serves the service of its name. */
export interface ZtnaOptions {
  readonly intermediates: readonly string[];
  readonly connectors: readonly string[];
  readonly agents: readonly string[];
  /** `direct` of the policy; by default `allow`. */
  readonly direct?: 'allow' | 'deny' | 'require';
  /** The site's connectors show private addresses. */
  readonly showPrivateAddresses?: boolean;
  /** Connectors, of `connectors`, that the scenario starts itself. */
  readonly foreign?: readonly string[];
  /** The service is served by others than `ztna backend`, on the ports of the connector's host that it would have. */
  readonly ownBackends?: boolean;
  /** Words before the command of each component. */
  readonly prefix?: readonly string[];
  /** Part of the configuration of every component of a role. */
  readonly config?: { readonly intermediate?: object; readonly connector?: object; readonly agent?: object };
}

/**
 * The product in a lab: real processes of `ztna`, each on its host, with a PKI, snapshots and configurations made
 * for them, that ends with the lab. Agents may use every service: HTTP on tcp/80, echo on tcp/7 and udp/7.
 */
export async function startZtna(lab: Lab, options: ZtnaOptions): Promise<Ztna> {
  const pki = await makePki(lab.folder);
  const identities = new Map<string, TestIdentity>();
  for (const name of options.intermediates) identities.set(name, await pki.issue('intermediate', name));
  for (const name of options.connectors) identities.set(name, await pki.issue('connector', `lab/${name}`));
  for (const name of options.agents) identities.set(name, await pki.issue('agent', name));
  pki.sign(documentOf(lab, options));
  const ztna = new Ztna(lab, options, pki, identities);
  lab.tellers.push(() => ztna.story());
  const own = options.connectors.filter((name) => !options.foreign?.includes(name));
  await Promise.all([
    ...options.intermediates.map((name) => ztna.startIntermediate(name)),
    ...(options.ownBackends ? [] : own.map((name) => ztna.startBackend(name))),
    ...own.map((name) => ztna.startConnector(name)),
  ]);
  return ztna;
}

/** Components, to be started, stopped and looked at. They end with the lab. */
export class Ztna {
  readonly #lab: Lab;
  readonly #options: ZtnaOptions;
  readonly #pki: TestPki;
  readonly #identities: ReadonlyMap<string, TestIdentity>;
  readonly #processes: LabProcess[] = [];

  constructor(lab: Lab, options: ZtnaOptions, pki: TestPki, identities: ReadonlyMap<string, TestIdentity>) {
    this.#lab = lab;
    this.#options = options;
    this.#pki = pki;
    this.#identities = identities;
  }

  /** Starts it, or starts it again with the same keys. */
  async startIntermediate(name: string): Promise<LabProcess> {
    const resetKeyFile = join(this.#pki.dir, `${name}-reset.key`);
    const again = this.#processes.some((process) => process.name === name);
    if (!again) writeFileSync(resetKeyFile, randomBytes(32).toString('hex'), { mode: 0o600 });
    const number = this.#options.intermediates.indexOf(name) + 1;
    const keys = { resetKeyFile, serverId: number.toString(16).padStart(2, '0') };
    const file = this.#configure(name, {
      listen: `[::]:${relayPort}`,
      metrics: { listen: ops },
      keys,
      ...this.#options.config?.intermediate,
    });
    return this.#ready(this.#start(name, ['intermediate', '--config', file, '--json']));
  }

  async startConnector(name: string): Promise<LabProcess> {
    const file = this.#configure(name, { metrics: { listen: ops }, ...this.#options.config?.connector });
    return this.#ready(this.#start(name, ['connector', '--config', file, '--json']));
  }

  /** On the host of a connector. */
  async startBackend(host: string): Promise<LabProcess> {
    const args = ['backend', '--listen-http', '127.0.0.1:8080', '--listen-tcp-echo', '127.0.0.1:8081'];
    const backend = this.#start(
      host,
      [...args, '--listen-udp-echo', '127.0.0.1:8081', '--json'],
      'backend on ',
    );
    await backend.event((event) => 'http' in event, { what: 'ready' });
    return backend;
  }

  /** `ztna forward` of the agent on `host`, for the services of all connectors. */
  async startAgent(host: string, options: AgentOptions = {}): Promise<Agent> {
    const file = this.#configure(host, {
      metrics: { listen: ops },
      ...this.#options.config?.agent,
      ...options.config,
    });
    const services = options.services ?? this.#options.connectors;
    const maps = services.flatMap((service) =>
      [80, 7].flatMap((port) => ['--map', `${service}:${port}=127.0.0.1:0`]),
    );
    const process = this.#start(host, ['forward', '--config', file, '--json', ...maps]);
    await this.#ready(process);
    return new Agent(this.#lab, host, process);
  }

  /** Identity of a component whose process is somebody else's: started by the scenario. */
  identity(host: string): TestIdentity {
    const identity = this.#identities.get(host);
    if (!identity) throw new Error(`${host} has no identity`);
    return identity;
  }

  /** Says anew, by policy, what direct paths may do; running components take it up. */
  setDirect(direct: 'allow' | 'deny' | 'require'): void {
    this.#pki.sign(documentOf(this.#lab, { ...this.#options, direct }));
  }

  /** The process of the component on a host, the last one that was started. */
  process(host: string): LabProcess {
    const process = this.#processes.findLast(({ name }) => name === host);
    if (!process) throw new Error(`${host} runs nothing`);
    return process;
  }

  /** What everybody logged from a level on, for a failed test. */
  story(lines = 40): string {
    return this.#processes
      .map(
        (process) => `--- ${process.name}${process.end ? ` (${process.end})` : ''}\n${process.tail(lines)}`,
      )
      .join('\n');
  }

  #start(host: string, args: readonly string[], prefix = ''): LabProcess {
    const [command = '', ...words] = [...(this.#options.prefix ?? []), process.execPath, cli, ...args];
    const started = this.#lab.start(host, { name: `${prefix}${host}`, command, args: words });
    this.#processes.push(started);
    return started;
  }

  async #ready(process: LabProcess): Promise<LabProcess> {
    await process.event(({ event }) => event === 'ready', { what: 'ready' });
    return process;
  }

  #configure(name: string, config: object): string {
    const identity = this.#identities.get(name);
    if (!identity) throw new Error(`${name} runs no component`);
    const file = join(this.#pki.dir, `${name}.json`);
    const log = { format: 'json', level: 'debug' };
    writeFileSync(file, JSON.stringify({ ...identity.files, log, ...config }));
    return file;
  }
}

function documentOf(lab: Lab, options: ZtnaOptions): object {
  const { intermediates, connectors, agents, direct = 'allow', showPrivateAddresses = false } = options;
  const local = { allowLocal: true };
  const ports = [
    { transport: 'tcp', port: 80, backend: '127.0.0.1:8080', ...local },
    { transport: 'tcp', port: 7, backend: '127.0.0.1:8081', ...local },
    { transport: 'udp', port: 7, backend: '127.0.0.1:8081', ...local },
  ];
  const addresses = (name: string) => [
    `${lab.address(name)}:${relayPort}`,
    `[${lab.address(name, 'ipv6')}]:${relayPort}`,
  ];
  return {
    intermediates: intermediates.map((name) => ({ name, addresses: addresses(name) })),
    sites: [{ name: 'lab', connectors, showPrivateAddresses }],
    services: connectors.map((name) => ({ name, ports, connectors: [`lab/${name}`] })),
    agents: agents.map((name) => ({ name, subject: name })),
    policies: [{ name: 'all', who: { subjects: agents }, services: connectors, direct }],
  };
}
