import {
  bindEndpoint,
  Component,
  coreClock,
  innerClientTransport,
  localInfo,
  OuterLinks,
  outerClientTransport,
  type Reloaded,
  Reloader,
} from '@ztna/link';
import type { Endpoint } from '@ztna/quic';
import { type CoreShell, type Logger, runCore } from '@ztna/runtime';
import type { AgentConfig } from '@ztna/runtime/config';
import { AgentCore, type AgentInput, type AgentOutput, type PeerIdentity } from '@ztna/session';
import type { AgentService, SpiffeId } from '@ztna/wire';
import type { Flow } from './flows/flow.ts';
import { FlowTable } from './flows/flow-table.ts';
import { InnerSessions, type SessionStatus } from './flows/inner.ts';
import { Observer } from './observe.ts';
import { serveAgentOperations } from './operations.ts';
import type { Target } from './services.ts';

export interface AgentStatus {
  readonly agent: SpiffeId;
  /** Whether an intermediate is connected. */
  readonly connected: boolean;
  readonly intermediates: readonly string[];
  readonly revision: number;
  readonly sessions: readonly SessionStatus[];
  readonly flows: number;
  /** By `metric.cause`. */
  readonly counters: Readonly<Record<string, number>>;
}

/** A running agent: sessions to connectors, and flows in them for the local sides (forwards, proxy). */
export interface Agent extends AsyncDisposable {
  readonly config: AgentConfig;
  readonly log: Logger;
  readonly observer: Observer;
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

class RunningAgent implements Agent {
  readonly config: AgentConfig;
  readonly log: Logger;
  readonly observer: Observer;
  readonly endpoint: Endpoint;
  readonly #component: Component<'agent'>;
  readonly #core: AgentCore;
  readonly #links: OuterLinks;
  readonly #inner: InnerSessions;
  readonly #flows: FlowTable;
  readonly #clock = coreClock();
  #shell: CoreShell<AgentInput> | undefined;
  #reloader: Reloader<'agent'> | undefined;
  #operations: AsyncDisposable | undefined;
  #closing: Promise<void> | undefined;

  constructor({ config, log }: AgentOptions) {
    this.config = config;
    this.log = log;
    this.observer = new Observer(log);
    this.#component = Component.load('agent', config, this.#clock.now());
    this.endpoint = bindEndpoint(
      { listen: config.listen, ...this.#component.tls, busyPollUs: config.transport.busyPollUs },
      'listen',
    );
    const input = (event: AgentInput) => this.#shell?.input(event);
    const verify = (role: 'intermediate' | 'connector') => (chain: readonly Uint8Array[]) =>
      this.#component.verifyPeer(chain, [role], this.#clock.now());
    const { endpoint } = this;
    this.#links = new OuterLinks({
      ...{ endpoint, input, log, verify: verify('intermediate') },
      transport: outerClientTransport(config.transport),
    });
    this.#inner = new InnerSessions({
      ...{ endpoint, input, identify: verify('connector') },
      transport: innerClientTransport(config.transport),
    });
    this.#flows = new FlowTable({
      ...{ input, maxFlows: config.limits.flows, resultTimeoutMs: config.openTimeoutMs },
      connection: (session) => this.#inner.connection(session),
    });
    const { verifyGrant } = this.#component;
    const identity = identityInForce(this.#component);
    this.#core = new AgentCore(
      { identity, local: localInfo(identity.tenant), random: Math.random, verifyGrant },
      { flowTimeoutMs: config.openTimeoutMs },
    );
  }

  async start(): Promise<void> {
    this.endpoint.onFailure = (err) => this.log.fatal({ err }, 'the QUIC engine ended: this is a bug');
    this.#shell = runCore(this.#core, {
      ...this.#clock,
      onOutput: (output) => this.#carryOut(output),
      onError: (err) => this.log.fatal({ err }, 'the session core failed: this is a bug'),
    });
    const err = this.#component.refused;
    if (err) this.log.warn({ err }, 'snapshot file refused: the last good one is in force');
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

  openFlow(target: Target, signal?: AbortSignal): Promise<Flow> {
    return this.#flows.open(target, signal);
  }

  async reload(): Promise<void> {
    await this.#reloader?.reload();
  }

  async status(): Promise<AgentStatus> {
    const { identity, snapshot } = this.#component;
    return {
      agent: identity.id,
      connected: this.connected,
      intermediates: snapshot.content.intermediates.map(({ name }) => name),
      revision: snapshot.revision,
      sessions: await this.#inner.status(),
      flows: this.#flows.size,
      counters: this.observer.counters(),
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.observer.reached();
    this.#reloader?.[Symbol.dispose]();
    await this.#operations?.[Symbol.asyncDispose]();
    this.#shell?.input({ type: 'stop', reason: 'the agent stops' });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, STOP_MS);
    });
    await Promise.race([this.#links.settled(), late]);
    clearTimeout(timer);
    this.#shell?.close();
    await this.endpoint.close();
  }

  #carryOut(output: AgentOutput): void {
    switch (output.type) {
      case 'connect':
        if (!this.connected) this.observer.connecting(output.to);
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
      case 'flow-ready':
        return this.#flows.onReady(output);
      case 'flow-failed':
        return this.#flows.onFailed(output);
      case 'event':
        return this.observer.event(output);
      case 'count':
        return this.observer.count(output);
      default:
        output satisfies never;
    }
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
