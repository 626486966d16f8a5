import {
  bindEndpoint,
  Component,
  type ConnectorReport,
  commonStatus,
  coreClock,
  DirectPaths,
  directRanges,
  gaugePaths,
  innerServerTransport,
  instant,
  type LimitedLog,
  limitLog,
  localInfo,
  Outages,
  OuterLinks,
  observeCore,
  outerClientTransport,
  Reloader,
  SOFTWARE_VERSION,
  warnOfRefusedSnapshot,
  whyNotConnected,
} from '@ztna/link';
import type { Endpoint, QuicError } from '@ztna/quic';
import { type CoreShell, type Logger, parseAddress, parseListenAddress, runCore } from '@ztna/runtime';
import type { ConnectorConfig } from '@ztna/runtime/config';
import { Metrics, type OperationsServer, serveOperations } from '@ztna/runtime/metrics';
import {
  type ConnectionKey,
  ConnectorCore,
  type ConnectorInput,
  type ConnectorOutput,
  type EventOutput,
  type FlowRecord,
} from '@ztna/session';
import { ALPN, wireErrorNumber } from '@ztna/wire';
import { Dialer } from './dial.ts';
import { makeFlowLog } from './flow-log.ts';
import { Flows } from './flows.ts';
import { Health } from './health.ts';
import { InnerSessions } from './inner-sessions.ts';
import { observeHealth, observeState } from './metrics.ts';

export interface ConnectorOptions {
  readonly config: ConnectorConfig;
  readonly log: Logger;
  /** Also gets every flow record, beside the log. */
  readonly onRecord?: (record: FlowRecord) => void;
  /** The connector is registered at another number of intermediates. */
  readonly onRegistered?: (intermediates: number) => void;
}

/** Everything that the process needs, until disposed. */
export interface Connector extends AsyncDisposable {
  /** Local address of its connections. */
  readonly listen: string;
  /** Address of the operators' server; undefined when it is off. */
  readonly ops: string | undefined;
  /** Resolves when it is registered at an intermediate for the first time. */
  readonly registered: Promise<void>;
  /** Rejects when the QUIC thread dies: end the process. Never resolves. */
  readonly failed: Promise<never>;
  stats(): ReturnType<ConnectorCore['stats']>;
  /** For `ztna status`. */
  status(): Promise<ConnectorReport>;
  /** Takes certificate, trust bundle and snapshot into use again. Rejects when one cannot be used. */
  reload(): Promise<void>;
}

/**
 * Starts a connector; it registers by itself, now and after every loss. Throws a ZtnaError when identity, trust or
 * snapshot cannot be used, a RuntimeFault when an address cannot be bound.
 */
export async function startConnector(options: ConnectorOptions): Promise<Connector> {
  const running = new RunningConnector(options);
  try {
    await running.serve();
  } catch (error) {
    await running[Symbol.asyncDispose]();
    throw error;
  }
  return running;
}

/** Handshakes of agents under way. The engine lets one intermediate have half of what the others leave. */
const MAX_HANDSHAKES = 2_000;
const UNREACHABLE = 'intermediate cannot be reached: trying on';

class RunningConnector implements Connector {
  readonly registered: Promise<void>;
  readonly failed: Promise<never>;
  readonly #options: ConnectorOptions;
  readonly #log: LimitedLog;
  readonly #component: Component<'connector'>;
  readonly #endpoint: Endpoint;
  readonly #core: ConnectorCore;
  readonly #shell: CoreShell<ConnectorInput>;
  readonly #links: OuterLinks;
  readonly #outages: Outages;
  readonly #direct: DirectPaths;
  readonly #inner: InnerSessions;
  readonly #flows: Flows;
  readonly #health: Health;
  readonly #reloader: Reloader<'connector'>;
  readonly #metrics = new Metrics('connector', SOFTWARE_VERSION);
  readonly #clock = coreClock();
  readonly #observe: ReturnType<typeof observeCore>;
  readonly #record: (record: FlowRecord) => void;
  readonly #registeredAt = new Set<ConnectionKey>();
  /** When it was last registered somewhere. */
  #lastLostMs: number | undefined;
  readonly #onFirst = Promise.withResolvers<void>();
  #operations: OperationsServer | undefined;

  constructor(options: ConnectorOptions) {
    const { config } = options;
    const component = Component.load('connector', config, this.#clock.now());
    this.#options = options;
    const leftOut = (event: string) => this.#observe({ type: 'count', metric: 'log_left_out', cause: event });
    const log = limitLog(options.log, this.#clock, leftOut);
    this.#log = log;
    this.#component = component;
    warnOfRefusedSnapshot(log, component.refused);
    this.#endpoint = bind(config, component);
    this.registered = this.#onFirst.promise;
    const failed = Promise.withResolvers<never>();
    failed.promise.catch(() => undefined);
    this.failed = failed.promise;
    this.#endpoint.onFailure = (error: QuicError) => failed.reject(error);
    const input = (event: ConnectorInput) => this.#input(event);
    const dialer = new Dialer({
      timeoutMs: config.dialTimeoutMs,
      ownPorts: () => this.#ownPorts(),
    });
    this.#outages = new Outages(log, UNREACHABLE, (tried, losses) =>
      whyNotConnected(tried, losses, { links: this.#links, direct: this.#direct }),
    );
    this.#links = new OuterLinks({
      endpoint: this.#endpoint,
      transport: outerClientTransport(config.transport),
      verify: (chain) => component.verifyPeer(chain, ['intermediate'], this.#clock.now()),
      input,
      log,
      onObserved: (by, address) => this.#direct.setObserved(by, address),
    });
    this.#direct = new DirectPaths({
      ...{ side: 'connector', endpoint: this.#endpoint, settings: config.direct, clock: this.#clock, log },
      observe: (output) => this.#observe(output),
      onDirect: (session, inUse) => input({ type: 'direct', session, inUse }),
      agentOf: (session) => this.#core.agentOf(session),
    });
    gaugePaths(this.#metrics, () => this.#direct.verdicts());
    this.#inner = this.#makeInner(input);
    this.#flows = new Flows({
      endpoint: this.#endpoint,
      dialer,
      connection: (session) => this.#inner.connection(session),
      agentOf: (session) => this.#core.agentOf(session),
      input,
      udpIdleTimeoutMs: config.udpIdleTimeoutMs,
      maxFlows: config.limits.flows,
      count: (cause) => this.#observe({ type: 'count', metric: 'stream_refused', cause }),
    });
    this.#observe = observeCore(this.#metrics, log, this.#endpoint);
    this.#record = makeFlowLog(this.#metrics, log);
    this.#core = makeCore(config, component);
    observeState(this.#metrics, this.#core);
    this.#shell = runCore(this.#core, { ...this.#clock, onOutput: (output) => this.#carryOut(output) });
    this.#health = new Health({
      dialer,
      endpoint: this.#endpoint,
      settings: config.health,
      onWithdrawn: (services) => input({ type: 'withdrawn', services }),
      log,
    });
    observeHealth(this.#metrics, this.#health);
    const apply = () => {
      this.#direct.allowPrivate(component.snapshot.content.showPrivateAddresses);
      input({ type: 'snapshot', snapshot: component.snapshot });
      this.#health.watch(component.snapshot.content.services);
    };
    const review = () => {
      this.#links.review();
      this.#inner.review();
    };
    const reload = { component, endpoint: this.#endpoint, log, now: this.#clock.now, apply, review };
    this.#reloader = new Reloader(reload);
    this.#endpoint.onConnection = this.#inner.admit;
    apply();
  }

  get listen(): string {
    return this.#endpoint.localAddress;
  }

  get ops(): string | undefined {
    return this.#operations?.address;
  }

  /** Starts the operators' server. */
  async serve(): Promise<void> {
    const listen = parseListenAddress(this.#options.config.metrics.listen);
    if (!listen) return;
    const { registry } = this.#metrics;
    const readiness = () => this.#readiness();
    this.#operations = await serveOperations({ listen, setting: 'metrics.listen', registry, readiness });
  }

  stats() {
    return this.#core.stats();
  }

  async status(): Promise<ConnectorReport> {
    const { drops } = await this.#endpoint.stats();
    const { sessions, flows } = this.#core.stats();
    const { nextAttemptAt } = this.#core;
    const problems = [...this.#outages.problems(), ...this.#health.problems()];
    if (this.#registeredAt.size === 0) {
      const message = 'it is registered at no intermediate';
      const lostAt = this.#lastLostMs;
      problems.unshift(
        lostAt === undefined
          ? { code: 'not-registered', message: `${message} yet` }
          : { code: 'not-registered', message: `${message} any more`, since: instant(lostAt) },
      );
    }
    return {
      component: 'connector',
      ...commonStatus(this.#component, this.#clock.now(), { listen: this.listen, drops, problems }),
      intermediates: await this.#links.status(),
      ...(nextAttemptAt !== undefined && { nextAttempt: instant(nextAttemptAt) }),
      portMapping: this.#direct.portMapping(),
      ...{ sessions, flows },
    };
  }

  reload(): Promise<void> {
    return this.#reloader.reload();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#reloader[Symbol.dispose]();
    this.#health[Symbol.dispose]();
    const unmapped = this.#direct[Symbol.asyncDispose]();
    this.#outages[Symbol.dispose]();
    this.#shell.input({ type: 'stop', reason: 'the connector stops' });
    await this.#links.settled();
    await unmapped;
    this.#shell.close();
    await this.#operations?.close();
    await this.#endpoint.close({ code: wireErrorNumber('going-away'), reason: 'the connector stops' });
    this.#log[Symbol.dispose]();
  }

  #makeInner(input: (input: ConnectorInput) => void): InnerSessions {
    const unclaimed = this.#metrics.counter({
      name: 'unclaimed_datagrams_total',
      help: 'Datagrams of agents that belong to no flow',
    });
    return new InnerSessions({
      endpoint: this.#endpoint,
      carrier: (key) => this.#links.connection(key),
      verify: (chain) => this.#component.verifyPeer(chain, ['agent'], this.#clock.now()),
      input,
      onUnclaimed: (datagrams) => unclaimed.inc({}, datagrams),
      onStream: (session, stream) => void this.#flows.onStream(session, stream),
      agentOf: (session) => this.#core.agentOf(session),
      log: this.#log,
      direct: this.#direct,
    });
  }

  #input(input: ConnectorInput): void {
    if (input.type === 'message' && input.message.type === 'registered') this.#onRegistered(input.connection);
    if (input.type === 'outer-lost' && this.#registeredAt.delete(input.connection)) {
      this.#lastLostMs = Date.now();
      this.#options.onRegistered?.(this.#registeredAt.size);
    }
    this.#shell.input(input);
  }

  #onRegistered(connection: ConnectionKey): void {
    if (this.#registeredAt.has(connection)) return;
    this.#registeredAt.add(connection);
    this.#onFirst.resolve();
    this.#options.onRegistered?.(this.#registeredAt.size);
  }

  #carryOut(output: ConnectorOutput) {
    switch (output.type) {
      case 'connect':
        this.#outages.connecting(output.to);
        return this.#links.carryOut(output);
      case 'send':
      case 'disconnect':
        return this.#links.carryOut(output);
      case 'add-path':
        return this.#inner.add(output.session, output.connection, output.relayId);
      case 'rebind-path':
        return this.#inner.rebind(output.session, output.connection, output.relayId);
      case 'path-policy':
        return this.#inner.setPathPolicy(output.session, output);
      case 'accept-inner':
        return this.#inner.accept(output.session);
      case 'close-inner':
        return this.#inner.close(output.session, output.error);
      case 'dial':
        return void this.#flows.dial(output.flow, output.target);
      case 'answer-flow':
        return void this.#flows.answer(output.flow);
      case 'refuse-flow':
        return this.#flows.refuse(output.flow, output.error);
      case 'cut-flow':
        return this.#flows.cut(output.flow, output.error);
      case 'record':
        this.#record(output);
        return this.#options.onRecord?.(output);
      case 'event':
        this.#watchOutages(output);
        return this.#observe(output);
      case 'count':
        return this.#observe(output);
      default:
        output satisfies never;
    }
  }

  #watchOutages(output: EventOutput): void {
    const { event, fields } = output;
    const name = String(fields.intermediate);
    this.#outages.heed(output);
    if (event === 'intermediate.connected') this.#outages.over(name);
    if (event === 'intermediate.refused') this.#outages.refused(name);
  }

  #ownPorts(): number[] {
    const addresses = [this.listen, this.ops].map((text) => text && parseAddress(text));
    return addresses.flatMap((address) => (address ? [address.port] : []));
  }

  #readiness() {
    const reasons: string[] = [];
    const now = this.#clock.now();
    if (this.#registeredAt.size === 0) reasons.push('it is registered at no intermediate');
    if (now >= this.#component.snapshot.expiresAtMs) reasons.push('its snapshot has expired');
    if (now >= this.#component.identity.notAfterMs) reasons.push('its certificate has expired');
    const all = this.#component.snapshot.content.services.length;
    const withdrawn = this.#health.services().filter((service) => service.withdrawn);
    if (all > 0 && withdrawn.length === all) reasons.push('all its services are withdrawn');
    const notes = withdrawn.map(({ name }) => `service ${name} is withdrawn: no TCP backend of it answers`);
    return { ready: reasons.length === 0, reasons, notes };
  }
}

function bind(config: ConnectorConfig, component: Component<'connector'>): Endpoint {
  const innerServer = {
    alpn: [ALPN.SESSION],
    transport: innerServerTransport(config.transport),
    maxHandshakes: MAX_HANDSHAKES,
  };
  const { busyPollUs } = config.transport;
  const direct = directRanges(config.direct, component.snapshot.content.showPrivateAddresses);
  return bindEndpoint({ listen: config.listen, ...component.tls, innerServer, busyPollUs, direct }, 'listen');
}

function makeCore(config: ConnectorConfig, component: Component<'connector'>): ConnectorCore {
  const { sessions, sessionsPerAgent, flowsPerSession, flowsPerAgent } = config.limits;
  return new ConnectorCore(
    {
      get identity() {
        return component.identity;
      },
      local: localInfo(component.identity.tenant),
      random: Math.random,
      verifyGrant: component.verifyGrant,
    },
    {
      capacity: sessions,
      labels: new Map(Object.entries(config.labels)),
      maxSessions: sessions,
      maxSessionsPerAgent: sessionsPerAgent,
      maxFlowsPerSession: flowsPerSession,
      maxFlowsPerAgent: flowsPerAgent,
    },
  );
}
