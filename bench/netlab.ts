import type { Agent } from '../tests/netlab/lab/agent.ts';
import { type Lab, startLab } from '../tests/netlab/lab/lab.ts';
import type { Echo } from '../tests/netlab/lab/probe.ts';
import type { LabProcess } from '../tests/netlab/lab/process.ts';
import { startZtna, type Ztna } from '../tests/netlab/lab/ztna.ts';
import type { Generator } from './load.ts';
import { cpuMs, type Measurable, realtimeWords } from './process.ts';

const AGENT = 'laptop';
const CONNECTOR = 'server';
const RELAY = 'relay';
/** Where the lab's services lead to on the host of a connector. */
const BACKEND_PORT = 8081;
const TCP_ECHO_PORT = 8080;
/** Ports of the service: the load generator's, and an echo of TCP. */
const ECHO = 7;
const ECHO_TCP = 80;

export interface BedOptions {
  /** Between the agent's host and all others. */
  readonly rttMs?: number;
}

/**
 * Agent, intermediate and connector on hosts of their own, joined by veth pairs through one router, with the load
 * generator as application and backend. Links carry bundles of packets, as network cards do.
 */
export class NetlabBed implements AsyncDisposable {
  readonly lab: Lab;
  readonly ztna: Ztna;
  /** The load generator on the agent's host. */
  readonly near: Generator;
  readonly #stack: AsyncDisposableStack;
  #agent: Agent;

  private constructor(lab: Lab, ztna: Ztna, near: Generator, agent: Agent, stack: AsyncDisposableStack) {
    this.lab = lab;
    this.ztna = ztna;
    this.near = near;
    this.#agent = agent;
    this.#stack = stack;
  }

  /** @throws Error with the reason when this machine has no network namespaces. */
  static async start(generator: Generator, { rttMs }: BedOptions = {}): Promise<NetlabBed> {
    await using starting = new AsyncDisposableStack();
    const link = { bundles: true };
    const host = { uplinks: ['internet'], link };
    const far = rttMs === undefined ? host : { ...host, link: { ...link, delayMs: rttMs / 2 } };
    const topology = { hosts: { [AGENT]: far, [CONNECTOR]: host, [RELAY]: host } };
    const lab = starting.use(await startLab(topology, { bridgeProgram: generator.file }));
    const backend = generator.on(lab.into(CONNECTOR));
    const listen = `0.0.0.0:${BACKEND_PORT}`;
    starting.use((await backend.serve('tcp-server', 'tcp-server', { listen })).role);
    starting.use((await backend.serve('far', 'far', { via: 'udp', mode: 'echo', listen })).role);
    await (await lab.probe(CONNECTOR)).tcpEcho(TCP_ECHO_PORT);
    const ztna = await startZtna(lab, {
      ...{ intermediates: [RELAY], connectors: [CONNECTOR], agents: [AGENT] },
      ownBackends: true,
      prefix: realtimeWords,
      config: { agent: quiet, connector: quiet, intermediate: quiet },
    });
    const agent = await ztna.startAgent(AGENT);
    return new NetlabBed(lab, ztna, generator.on(lab.into(AGENT)), agent, starting.move());
  }

  /** The processes of the product, for their use of CPU. */
  get roles(): readonly Measurable[] {
    const named = { agent: AGENT, intermediate: RELAY, connector: CONNECTOR };
    return Object.entries(named).map(([name, host]) => measurable(name, this.ztna.process(host)));
  }

  get agent(): Agent {
    return this.#agent;
  }

  /** Local address of the agent that leads to the backend. */
  address(transport: 'tcp' | 'udp'): string {
    return this.#agent.address(CONNECTOR, transport, ECHO);
  }

  /** The backend itself, through the same network. */
  get plain(): string {
    return `${this.lab.address(CONNECTOR)}:${BACKEND_PORT}`;
  }

  /** Uses the service once, which opens the session. */
  async use(): Promise<void> {
    await this.near.times('http', { remote: this.address('tcp'), count: 1 });
  }

  /** Uses the service and waits until its session is on a direct path. */
  async goDirect(): Promise<void> {
    await this.use();
    await this.becomes('direct');
  }

  /** Waits until the session travels so, from log entry `since` on. */
  async becomes(path: 'direct' | 'relayed', since = 0): Promise<void> {
    await this.#agent.becomes(CONNECTOR, path, since);
  }

  /** Does something, and waits until the session travels so because of it. */
  async moves(path: 'direct' | 'relayed', because: () => unknown): Promise<void> {
    const since = this.#agent.process.logs.length;
    await because();
    await this.becomes(path, since);
  }

  /** From a request that opens a session, and from when that is up, to a direct path in use. */
  async openDirect(): Promise<{ sinceRequestMs: number; sinceUpMs: number }> {
    const probe = await this.lab.probe(AGENT);
    await probe.ask('udpOpen'); // it runs
    const requested = Date.now();
    const stream = await this.echo('tcp');
    const sinceUpMs = await this.#agent.becomes(CONNECTOR, 'direct');
    const verdict = this.#agent.process.logs.findLast(
      ({ event, path }) => event === 'path.verdict' && path === 'direct',
    );
    await stream.stop();
    return { sinceUpMs, sinceRequestMs: Date.parse(`${verdict?.time}`) - requested };
  }

  /** An echo through the product that goes on by itself. */
  echo(kind: 'tcp' | 'udp', more: { everyMs?: number; size?: number } = {}): Promise<Echo> {
    return this.#agent.echo(CONNECTOR, kind, more, kind === 'tcp' ? ECHO_TCP : ECHO);
  }

  /** Another process of the agent in place of the one before, which is connected to the intermediate. */
  async restartAgent(): Promise<Agent> {
    await this.#agent.process.stop();
    this.#agent = await this.ztna.startAgent(AGENT);
    await this.#agent.event('intermediate.connected', 0);
    return this.#agent;
  }

  /** Nothing passes between agent and connector but through the intermediate, and nobody is told. */
  cutDirect(): Promise<void> {
    return this.lab.separate(AGENT, CONNECTOR);
  }

  mendDirect(): Promise<void> {
    return this.lab.rejoin(AGENT, CONNECTOR);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

/** What a measurement reads of the log, and nothing that costs time. */
const quiet = { log: { format: 'json', level: 'info' } };

function measurable(name: string, process: LabProcess): Measurable {
  return {
    name,
    get cpuMs() {
      return cpuMs(process.target ?? 0);
    },
  };
}
