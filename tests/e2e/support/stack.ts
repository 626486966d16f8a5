import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Agent, startAgent } from '@ztna/agent';
import { startBackend as start } from '@ztna/backend';
import { type Connector, startConnector } from '@ztna/connector';
import { type Intermediate, startIntermediate } from '@ztna/intermediate';
import {
  agentSchema,
  checkAgent,
  checkConnector,
  checkIntermediate,
  connectorSchema,
  intermediateSchema,
  parseConfig,
} from '@ztna/runtime/config';
import { Logs } from './logs.ts';
import { makePki, type TestIdentity, type TestPki } from './pki.ts';
import { freeTcpPort, freeUdpPort } from './ports.ts';

const ANY = { host: '127.0.0.1', port: 0 };

/** Addresses of the test backend. */
export interface TestBackend extends AsyncDisposable {
  readonly http: string;
  readonly tcp: string;
  readonly udp: string;
}

/** The test backend on free ports: HTTP, TCP echo, UDP echo. */
export async function startBackend(logs: Logs): Promise<TestBackend> {
  const backend = await start({ http: ANY, tcp: ANY, udp: ANY, log: logs.logger('backend') });
  const { http = '', tcp = '', udp = '' } = backend;
  return { http, tcp, udp, [Symbol.asyncDispose]: () => backend[Symbol.asyncDispose]() };
}

export interface StackOptions {
  /** Further services, as in the configuration document. */
  readonly services?: readonly object[];
  /** Configuration of each agent beyond the defaults. */
  readonly agent?: object;
  readonly connector?: object;
  readonly intermediate?: object;
}

/**
 * The whole system in this process, on loopback and free ports: PKI, backend, one intermediate, one connector, agents
 * on demand. Agents may reach `web` (tcp/80), `echo` (tcp/7, udp/7) and `closed` (tcp/1, a port that refuses); `secret`
 * exists and is granted to nobody.
 */
export interface Stack extends AsyncDisposable {
  readonly pki: TestPki;
  readonly logs: Logs;
  readonly backend: TestBackend;
  readonly intermediate: Intermediate;
  readonly connector: Connector;
  /** Of the agents. */
  readonly agentFiles: TestIdentity['files'];
  /** Starts another agent for the same identity; it stops with the stack. `config` goes over the defaults. */
  startAgent(config?: object): Promise<Agent>;
  /** Configuration file of an agent, for commands. */
  writeAgentConfig(config?: object): string;
  /** Without a goodbye to anybody: peers find out by themselves. */
  stopIntermediate(): Promise<void>;
  /** Starts it again, on the same port with the same keys. */
  restartIntermediate(): Promise<void>;
  stopConnector(): Promise<void>;
  restartConnector(): Promise<void>;
  /** Publishes the document with other services or policies; components take it up by themselves. */
  publish(changes: object): void;
}

export async function startStack(options: StackOptions = {}): Promise<Stack> {
  await using starting = new AsyncDisposableStack();
  const logs = new Logs();
  const pki = starting.use(await makePki());
  const backend = starting.use(await startBackend(logs));
  const identities = {
    intermediate: await pki.issue('intermediate', 'relay'),
    connector: await pki.issue('connector', 'lab/c1'),
    agent: await pki.issue('agent', 'laptop'),
  };
  const port = await freeUdpPort();
  const document = makeDocument(port, backend, await freeTcpPort(), options.services ?? []);
  pki.sign(document);

  const configs = makeConfigs(pki, identities, port, options);
  const parts = starting.use(new Parts(configs, logs));
  await parts.startIntermediate();
  await parts.startConnector();
  // Else the first flow may have to wait for it, which is a warning.
  await parts.connector?.registered;
  const stack = starting.move();
  const agentConfig = (more: object = {}) => ({
    ...{ ...identities.agent.files, listen: '127.0.0.1:0' },
    ...{ ...options.agent, ...more },
  });
  return {
    ...{ pki, logs, backend, agentFiles: identities.agent.files },
    get intermediate() {
      return parts.intermediate as Intermediate;
    },
    get connector() {
      return parts.connector as Connector;
    },
    async startAgent(more) {
      const config = parse('agent', agentConfig(more), pki.dir, agentSchema, checkAgent);
      return stack.use(await startAgent({ config, log: logs.logger('agent') }));
    },
    writeAgentConfig(more) {
      const file = join(pki.dir, 'agent.json');
      writeFileSync(file, JSON.stringify(agentConfig(more)));
      return file;
    },
    stopIntermediate: () => parts.stopIntermediate(),
    restartIntermediate: () => parts.startIntermediate(),
    stopConnector: () => parts.stopConnector(),
    restartConnector: () => parts.startConnector(),
    publish: (changes) => pki.sign({ ...document, ...changes }),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

type Configs = ReturnType<typeof makeConfigs>;

/** The two components that tests stop and start again. */
class Parts implements AsyncDisposable {
  intermediate: Intermediate | undefined;
  connector: Connector | undefined;
  readonly #configs: Configs;
  readonly #logs: Logs;

  constructor(configs: Configs, logs: Logs) {
    this.#configs = configs;
    this.#logs = logs;
  }

  async startIntermediate(): Promise<void> {
    await this.stopIntermediate();
    const log = this.#logs.logger('intermediate');
    this.intermediate = await startIntermediate({ config: this.#configs.intermediate, log });
  }

  async stopIntermediate(): Promise<void> {
    await this.intermediate?.[Symbol.asyncDispose]();
    this.intermediate = undefined;
  }

  async startConnector(): Promise<void> {
    await this.stopConnector();
    const log = this.#logs.logger('connector');
    this.connector = await startConnector({ config: this.#configs.connector, log });
  }

  async stopConnector(): Promise<void> {
    await this.connector?.[Symbol.asyncDispose]();
    this.connector = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopConnector();
    await this.stopIntermediate();
  }
}

function makeDocument(port: number, backend: TestBackend, closed: number, services: readonly object[]) {
  const connectors = ['lab/c1'];
  const tcp = (number: number, address: string) => ({
    ...{ transport: 'tcp', port: number, backend: address, allowLocal: true },
  });
  const named = [
    { name: 'web', ports: [tcp(80, backend.http)], connectors },
    { name: 'echo', ports: [tcp(7, backend.tcp), { ...tcp(7, backend.udp), transport: 'udp' }], connectors },
    { name: 'closed', ports: [tcp(1, `127.0.0.1:${closed}`)], connectors },
    ...services,
  ];
  return {
    intermediates: [{ name: 'relay', addresses: [`127.0.0.1:${port}`] }],
    sites: [{ name: 'lab', connectors: ['c1'] }],
    services: [...named, { name: 'secret', ports: [tcp(80, backend.http)], connectors }],
    agents: [{ name: 'laptop', subject: 'alice' }],
    policies: [
      {
        name: 'alice',
        who: { subjects: ['alice'] },
        services: named.map((service) => (service as { name: string }).name),
      },
    ],
  };
}

function makeConfigs(
  pki: TestPki,
  identities: { readonly intermediate: TestIdentity; readonly connector: TestIdentity },
  port: number,
  options: StackOptions,
) {
  const { dir } = pki;
  const resetKeyFile = join(dir, 'reset.key');
  writeFileSync(resetKeyFile, randomBytes(32).toString('hex'), { mode: 0o600 });
  const intermediate = {
    ...identities.intermediate.files,
    ...{ listen: `127.0.0.1:${port}`, metrics: { listen: 'off' }, keys: { resetKeyFile, serverId: '01' } },
    ...options.intermediate,
  };
  const connector = {
    ...{ ...identities.connector.files, listen: '127.0.0.1:0', metrics: { listen: 'off' } },
    ...options.connector,
  };
  return {
    intermediate: parse('intermediate', intermediate, dir, intermediateSchema, checkIntermediate),
    connector: parse('connector', connector, dir, connectorSchema, checkConnector),
  };
}

const parse: <S extends Parameters<typeof parseConfig>[3]>(
  name: string,
  value: object,
  dir: string,
  schema: S,
  check: NonNullable<Parameters<typeof parseConfig<S>>[4]>,
) => ReturnType<typeof parseConfig<S>>['value'] = (name, value, dir, schema, check) =>
  parseConfig(JSON.stringify(value), `${name}.json`, join(dir, `${name}.json`), schema, check).value;
