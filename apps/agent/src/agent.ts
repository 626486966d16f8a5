import {
  type AgentReport,
  bindEndpoint,
  Component,
  commonStatus,
  coreClock,
  DirectPaths,
  directRanges,
  innerClientTransport,
  instant,
  type LimitedLog,
  type LocalListener,
  limitLog,
  localInfo,
  OuterLinks,
  outerClientTransport,
  type Problem,
  type Reloaded,
  Reloader,
  SecondObserver,
  warnOfRefusedSnapshot,
  whyNotConnected,
} from '@ztna/link';
import type { Endpoint } from '@ztna/quic';
import { type CoreShell, type Logger, runCore } from '@ztna/runtime';
import type { AgentConfig } from '@ztna/runtime/config';
import {
  AgentCore,
  type AgentInput,
  type AgentOutput,
  type PathVerdict,
  type PeerIdentity,
} from '@ztna/session';
import { type AgentService, fromWireError } from '@ztna/wire';
import type { Flow } from './flows/flow.ts';
import { FlowTable } from './flows/flow-table.ts';
import { InnerSessions } from './flows/inner.ts';
import { explainFlowError } from './flows/unreachable.ts';
import { Observer } from './observe.ts';
import { serveAgentOperations } from './operations.ts';
import type { Target } from './services.ts';

export interface AgentStatus extends AgentReport {
  /** Whether an intermediate is connected. */
  readonly connected: boolean;
}

/** A running agent: sessions to connectors, and flows in them for the local sides (forwards, proxy). */
export interface Agent extends AsyncDisposable {
  readonly config: AgentConfig;
  readonly log: Logger;
  readonly observer: Observer;
  /** The local ports that are open, for `status()`. */
  readonly listeners: Set<LocalListener>;
  /** Has the local sockets that are to be joined to flows. */
  readonly endpoint: Endpoint;
  /** Whether an intermediate is connected. */
  readonly connected: boolean;
  /** What the snapshot in force grants to this agent. */
  services(): readonly AgentService[];
  /** Opens a flow; see `FlowTable.open` for the errors. */
  openFlow(target: Target, signal?: AbortSignal): Promise<Flow>;
  /** Reads certificate, trust and snapshot again; what was in force stays if they cannot be used. */
  reload(): Promise<void>;
  status(): Promise<AgentStatus>;
  /** How each session that is up travels. */
  pathVerdicts(): readonly PathVerdict[];
}

export interface AgentOptions {
  readonly config: AgentConfig;
  readonly log: Logger;
}

/**
 * Loads identity, trust and snapshot and starts to connect; does not wait for an intermediate. Throws ZtnaError
 * or RuntimeFault that says which file or address cannot be used.
 */
export async function startAgent(options: AgentOptions): Promise<Agent> {
  const agent = new RunningAgent(options);
  try {
    await agent.start();
  } catch (error) {
    await agent[Symbol.asyncDispose]();
    throw error;
  }
  return agent;
}

const STOP_MS = 1_000;
/** Sessions that a report lists; an agent has as many as there are connectors of its services. */
const MAX_SESSIONS = 256;

class RunningAgent implements Agent {
  readonly config: AgentConfig;
  readonly log: LimitedLog;
  readonly observer: Observer;
  readonly listeners = new Set<LocalListener>();
  readonly endpoint: Endpoint;
  readonly #component: Component<'agent'>;
  readonly #core: AgentCore;
  readonly #links: OuterLinks;
  readonly #direct: DirectPaths;
  readonly #secondObserver: SecondObserver;
  readonly #inner: InnerSessions;
  readonly #flows: FlowTable;
  readonly #clock = coreClock();
  #shell: CoreShell<AgentInput> | undefined;
  #reloader: Reloader<'agent'> | undefined;
  #operations: AsyncDisposable | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: AgentOptions) {
    const { config } = options;
    this.config = config;
    const log = limitLog(options.log, this.#clock, (event) => this.observer.add('log_left_out', event));
    this.log = log;
    this.observer = new Observer(log, (tried, losses) =>
      whyNotConnected(tried, losses, { links: this.#links, direct: this.#direct }),
    );
    this.#component = Component.load('agent', config, this.#clock.now());
    const { direct } = config;
    const { busyPollUs } = config.transport;
    this.endpoint = bindEndpoint(
      { listen: config.listen, ...this.#component.tls, busyPollUs, direct: directRanges(direct, true) },
      'listen',
    );
    const input = (event: AgentInput) => {
      if (event.type === 'outer-recovered') this.observer.reached();
      this.#shell?.input(event);
    };
    const verify = (role: 'intermediate' | 'connector') => (chain: readonly Uint8Array[]) =>
      this.#component.verifyPeer(chain, [role], this.#clock.now());
    const { endpoint } = this;
    const transport = outerClientTransport(config.transport);
    this.#links = new OuterLinks({
      ...{ endpoint, input, log, transport, verify: verify('intermediate') },
      onObserved: (by, address) => this.#direct.setObserved(by, address),
    });
    this.#secondObserver = new SecondObserver({
      ...{ endpoint, log, transport, clock: this.#clock, verify: verify('intermediate') },
      intermediates: () => this.#component.snapshot.content.intermediates,
      inUse: () => this.#links.intermediates,
      onObserved: (by, address) => this.#direct.setSecondObserved(by, address),
    });
    this.#direct = new DirectPaths({
      ...{ side: 'agent', endpoint, settings: direct, clock: this.#clock, log },
      askSecondObserver: () => this.#secondObserver.ask(),
      observe: (output) => this.observer.observe(output),
      onDirect: (session, inUse) => input({ type: 'direct', session, inUse }),
    });
    this.#inner = new InnerSessions({
      ...{ endpoint, input, identify: verify('connector'), direct: this.#direct },
      transport: innerClientTransport(config.transport),
    });
    this.#flows = new FlowTable({
      ...{ input, maxFlows: config.limits.flows, resultTimeoutMs: config.openTimeoutMs },
      connection: (session) => this.#inner.connection(session),
      whyUnanswered: (flow, target) => {
        const why = this.#core.whyUnanswered(flow);
        return why && this.#explain(fromWireError(why), target);
      },
      onRefused: (code) => this.observer.add('flow_failed', code),
    });
    const { verifyGrant } = this.#component;
    const identity = identityInForce(this.#component);
    this.#core = new AgentCore(
      { identity, local: localInfo(identity.tenant), random: Math.random, verifyGrant },
      { flowTimeoutMs: config.openTimeoutMs },
    );
  }

  async start(): Promise<void> {
    this.endpoint.onFailure = (err) =>
      this.log.fatal({ event: 'engine.failed', err }, 'the QUIC engine ended: this is a bug');
    this.#shell = runCore(this.#core, {
      ...this.#clock,
      onOutput: (output) => this.#carryOut(output),
      onError: (err) =>
        this.log.fatal({ event: 'core.failed', err }, 'the session core failed: this is a bug'),
    });
    warnOfRefusedSnapshot(this.log, this.#component.refused);
    this.#shell.input({ type: 'snapshot', snapshot: this.#component.snapshot });
    this.#reloader = new Reloader({
      ...{ component: this.#component, endpoint: this.endpoint, log: this.log, now: this.#clock.now },
      apply: (reloaded) => this.#apply(reloaded),
      review: () => this.#links.review(),
    });
    this.#operations = await serveAgentOperations(this);
  }

  get connected(): boolean {
    return this.#core.stats().connected;
  }

  services(): readonly AgentService[] {
    return this.#component.snapshot.content.services;
  }

  async openFlow(target: Target, signal?: AbortSignal): Promise<Flow> {
    try {
      return await this.#flows.open(target, signal);
    } catch (error) {
      throw this.#explain(error, target);
    }
  }

  async reload(): Promise<void> {
    await this.#reloader?.reload();
  }

  pathVerdicts(): readonly PathVerdict[] {
    return this.#direct.verdicts();
  }

  async status(): Promise<AgentStatus> {
    const { connected } = this;
    const { nextAttemptAt } = this.#core;
    const { drops } = await this.endpoint.stats();
    const common = commonStatus(this.#component, this.#clock.now(), {
      ...{ listen: this.endpoint.localAddress, drops },
      problems: this.#links.usable
        ? []
        : [this.observer.problem ?? (connected ? STALLED : this.observer.connectingProblem)],
    });
    return {
      ...{ component: 'agent', ...common, connected },
      intermediates: await this.#links.status(),
      ...(nextAttemptAt !== undefined && { nextAttempt: instant(nextAttemptAt) }),
      portMapping: this.#direct.portMapping(),
      listeners: [...this.listeners],
      sessions: this.#inner.status().slice(0, MAX_SESSIONS),
      flows: this.#flows.size,
      events: this.observer.counters(),
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.observer.reached();
    this.#reloader?.[Symbol.dispose]();
    this.#secondObserver[Symbol.dispose]();
    const unmapped = this.#direct[Symbol.asyncDispose]();
    await this.#operations?.[Symbol.asyncDispose]();
    this.#shell?.input({ type: 'stop', reason: 'the agent stops' });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, STOP_MS);
    });
    await Promise.race([this.#links.settled(), late]);
    clearTimeout(timer);
    await unmapped;
    this.#shell?.close();
    await this.endpoint.close();
    this.log[Symbol.dispose]();
  }

  #carryOut(output: AgentOutput): void {
    switch (output.type) {
      case 'connect':
        if (!this.#links.usable) this.observer.connecting(output.to);
        return this.#links.carryOut(output);
      case 'send':
      case 'disconnect':
        return this.#links.carryOut(output);
      case 'open-inner':
        return this.#openInner(output);
      case 'accept-inner':
        return this.#inner.accept(output.session);
      case 'close-inner':
        return this.#inner.close(output.session, output.error);
      case 'rebind-path': {
        const carrier = this.#links.connection(output.connection);
        if (carrier) this.#inner.rebind(output.session, carrier, output.relayId);
        return;
      }
      case 'path-policy':
        return this.#inner.setPathPolicy(output.session, output);
      case 'flow-ready':
        return this.#flows.onReady(output);
      case 'flow-failed':
        return this.#flows.onFailed(output);
      case 'cut-flow':
        return this.#flows.cut(output.flow);
      case 'event':
      case 'count':
        return this.observer.observe(output);
      default:
        output satisfies never;
    }
  }

  /** An error of a flow, by the problem that there is with the intermediates. */
  #explain(error: unknown, target: Target): unknown {
    return this.#links.usable ? error : explainFlowError(error, target, this.observer.problem);
  }

  #openInner(output: Extract<AgentOutput, { type: 'open-inner' }>): void {
    const carrier = this.#links.connection(output.connection);
    if (carrier) return this.#inner.open(output, carrier);
    const reason = 'the connection to the intermediate is gone';
    this.#shell?.input({ type: 'inner-lost', session: output.session, reason });
  }

  #apply({ keyChanged }: Reloaded): void {
    this.#inner.review();
    this.#shell?.input({ type: 'snapshot', snapshot: this.#component.snapshot });
    // Grants are bound to the key: the next ones are asked for with the new one.
    if (keyChanged) this.#links.reconnect('new identity key');
  }
}

const STALLED: Problem = {
  code: 'stalled',
  message: 'the intermediate does not answer any more: connecting anew beside it',
};

/** The core keeps this object; its key changes when a renewed certificate has another one. */
function identityInForce(component: Component<'agent'>): PeerIdentity {
  const { id, tenant, role } = component.identity;
  return {
    ...{ id, tenant, role },
    get keyThumbprint() {
      return component.identity.keyThumbprint;
    },
  };
}
