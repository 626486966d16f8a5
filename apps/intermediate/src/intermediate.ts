import { randomBytes } from 'node:crypto';
import {
  bindEndpoint,
  Component,
  commonStatus,
  coreClock,
  type IntermediateReport,
  type LimitedLog,
  limitLog,
  localInfo,
  observeCore,
  outerServerTransport,
  Reloader,
  SOFTWARE_VERSION,
  warnOfRefusedSnapshot,
} from '@ztna/link';
import type { Endpoint, QuicError } from '@ztna/quic';
import { type CoreShell, type Logger, parseListenAddress, runCore } from '@ztna/runtime';
import type { IntermediateConfig } from '@ztna/runtime/config';
import { Metrics, type OperationsServer, serveOperations } from '@ztna/runtime/metrics';
import { IntermediateCore, type IntermediateInput, type IntermediateOutput } from '@ztna/session';
import { ALPN, type SessionUid, toHex, wireErrorNumber } from '@ztna/wire';
import { Forwarding } from './forwarding.ts';
import { loadKeys } from './keys.ts';
import { observeForwarding, observeState } from './metrics.ts';
import { Peers } from './peers.ts';
import { SessionLog } from './session-log.ts';

/** Part of the time for an orderly stop that peers have to move elsewhere. */
const DRAIN_SHARE = 0.7;

export interface IntermediateOptions {
  readonly config: IntermediateConfig;
  readonly log: Logger;
}

/** Everything that the process needs, until disposed. */
export interface Intermediate extends AsyncDisposable {
  /** Address of the UDP socket, with its real port. */
  readonly listen: string;
  /** Address of the operators' server; undefined when it is off. */
  readonly ops: string | undefined;
  /** Rejects when the QUIC thread dies: end the process. Never resolves. */
  readonly failed: Promise<never>;
  stats(): ReturnType<IntermediateCore['stats']>;
  /** For `ztna status`. */
  status(): Promise<IntermediateReport>;
  /** Takes certificate, trust bundle and snapshot into use again. Rejects when one cannot be used. */
  reload(): Promise<void>;
  /** Tells peers to go elsewhere and waits until no session is left, or for most of `drain.deadlineMs`. */
  drain(reason: string): Promise<void>;
}

/**
 * Starts an intermediate. Throws a ZtnaError when identity, trust, keys or snapshot cannot be used, a QuicError when
 * the UDP address cannot be bound.
 */
export async function startIntermediate(options: IntermediateOptions): Promise<Intermediate> {
  const running = new RunningIntermediate(options);
  try {
    await running.serve();
  } catch (error) {
    await running[Symbol.asyncDispose]();
    throw error;
  }
  return running;
}

class RunningIntermediate implements Intermediate {
  readonly failed: Promise<never>;
  readonly #config: IntermediateConfig;
  readonly #log: LimitedLog;
  readonly #component: Component<'intermediate'>;
  readonly #endpoint: Endpoint;
  readonly #core: IntermediateCore;
  readonly #shell: CoreShell<IntermediateInput>;
  readonly #peers: Peers;
  readonly #forwarding: Forwarding;
  readonly #reloader: Reloader<'intermediate'>;
  readonly #metrics = new Metrics('intermediate', SOFTWARE_VERSION);
  readonly #clock = coreClock();
  readonly #observe: ReturnType<typeof observeCore>;
  readonly #sessionLog: SessionLog;
  #operations: OperationsServer | undefined;
  #draining = false;
  #drained: (() => void) | undefined;

  constructor(options: IntermediateOptions) {
    const { config } = options;
    const now = this.#clock.now();
    const component = Component.load('intermediate', config, now);
    this.#config = config;
    const leftOut = (event: string) => this.#observe({ type: 'count', metric: 'log_left_out', cause: event });
    const log = limitLog(options.log, this.#clock, leftOut);
    this.#log = log;
    this.#component = component;
    warnOfRefusedSnapshot(log, component.refused);
    this.#endpoint = bind(config, component);
    const failed = Promise.withResolvers<never>();
    failed.promise.catch(() => undefined);
    this.failed = failed.promise;
    this.#endpoint.onFailure = (error: QuicError) => failed.reject(error);
    const input = (event: IntermediateInput) => this.#input(event);
    this.#peers = this.#makePeers(input);
    this.#forwarding = new Forwarding({
      endpoint: this.#endpoint,
      connection: (peer) => this.#peers.connection(peer),
      maxBytesPerSecond: config.limits.bytesPerSecondPerSession,
    });
    this.#sessionLog = new SessionLog(log);
    this.#observe = observeCore(this.#metrics, log, this.#endpoint);
    this.#core = makeCore(config, component);
    observeState(this.#metrics, this.#core);
    observeForwarding(this.#metrics, this.#forwarding);
    this.#shell = runCore(this.#core, { ...this.#clock, onOutput: (output) => this.#carryOut(output) });
    const apply = () => input({ type: 'snapshot', snapshot: component.snapshot });
    this.#reloader = new Reloader({
      ...{ component, endpoint: this.#endpoint, log, now: this.#clock.now, apply },
      review: (reloaded) => this.#peers.review(reloaded?.trustChanged === true),
    });
    apply();
    this.#endpoint.onConnection = this.#peers.admit;
  }

  get listen(): string {
    return this.#endpoint.localAddress;
  }

  get ops(): string | undefined {
    return this.#operations?.address;
  }

  /** Starts the operators' server. */
  async serve(): Promise<void> {
    const listen = parseListenAddress(this.#config.metrics.listen);
    if (!listen) return;
    const { registry } = this.#metrics;
    const readiness = () => this.#readiness();
    this.#operations = await serveOperations({ listen, setting: 'metrics.listen', registry, readiness });
  }

  stats() {
    return this.#core.stats();
  }

  async status(): Promise<IntermediateReport> {
    const [{ drops: own }, totals] = await Promise.all([this.#endpoint.stats(), this.#forwarding.totals()]);
    const { peers, sessions } = this.#core.stats();
    const relay = Object.entries(totals.dropped).map(([cause, count]) => [`relay.${cause}`, count]);
    const drops = { ...own, ...Object.fromEntries(relay) };
    const problems = this.#draining ? [{ code: 'draining', message: 'it is being drained' }] : [];
    return {
      component: 'intermediate',
      ...commonStatus(this.#component, this.#clock.now(), { listen: this.listen, drops, problems }),
      ...{ peers, sessions, relayed: { datagrams: totals.forwarded, bytes: totals.bytes } },
    };
  }

  reload(): Promise<void> {
    return this.#reloader.reload();
  }

  async drain(reason: string): Promise<void> {
    if (this.#draining) return;
    this.#draining = true;
    const { id, snapshot } = { id: this.#component.identity.id, snapshot: this.#component.snapshot };
    const alternatives = snapshot.content.intermediates.filter((i) => i.id !== id).map(({ name }) => name);
    const deadlineMs = Math.round(this.#config.drain.deadlineMs * DRAIN_SHARE);
    const drained = Promise.withResolvers<void>();
    this.#drained = drained.resolve;
    this.#input({ type: 'drain', deadlineMs, alternatives: alternatives.slice(0, 64), reason });
    if (alternatives.length === 0) return; // nobody can go anywhere
    const timer = setTimeout(drained.resolve, deadlineMs);
    await drained.promise;
    clearTimeout(timer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#shell.close();
    this.#reloader[Symbol.dispose]();
    await this.#operations?.close();
    await this.#endpoint.close({ code: wireErrorNumber('going-away'), reason: 'the intermediate stops' });
    this.#log[Symbol.dispose]();
  }

  #input(input: IntermediateInput): void {
    this.#shell.input(input);
    const { sessions, offers } = this.#core.stats();
    if (sessions + offers === 0) this.#drained?.();
  }

  #makePeers(input: (input: IntermediateInput) => void): Peers {
    const handshakes = this.#metrics.counter({
      name: 'handshakes_total',
      help: 'Handshakes that were completed, by what came of them',
      labels: ['outcome'],
    });
    const unclaimed = this.#metrics.counter({
      name: 'relay_unclaimed_datagrams_total',
      help: 'Datagrams that belong to no session of the connection that they came on',
    });
    return new Peers({
      verify: (chain) => this.#component.verifyPeer(chain, ['agent', 'connector'], this.#clock.now()),
      review: (identity) => this.#component.reviewPeer(identity, this.#clock.now()),
      input,
      onUnclaimed: (datagrams) => unclaimed.inc({}, datagrams),
      onStreamRefused: () => this.#observe({ type: 'count', metric: 'stream_refused', cause: 'protocol' }),
      onHandshake: (outcome) => handshakes.inc({ outcome }),
      log: this.#log,
    });
  }

  #carryOut(output: IntermediateOutput) {
    switch (output.type) {
      case 'send':
        this.#sessionLog.onSend(this.#peers.identity(output.peer)?.id, output.message);
        return this.#peers.send(output.peer, output.message);
      case 'close-peer':
        return this.#peers.close(output.peer, output.error);
      case 'install-rule':
        return this.#forwarding.install(output);
      case 'remove-rule':
        return this.#forwarding.remove(output);
      case 'event':
      case 'count':
        return this.#observe(output);
      default:
        output satisfies never;
    }
  }

  #readiness() {
    const reasons: string[] = [];
    if (this.#draining) reasons.push('it is being drained');
    if (this.#clock.now() >= this.#component.snapshot.expiresAtMs) reasons.push('its snapshot has expired');
    if (this.#clock.now() >= this.#component.identity.notAfterMs) reasons.push('its certificate has expired');
    return { ready: reasons.length === 0, reasons };
  }
}

function bind(config: IntermediateConfig, component: Component<'intermediate'>): Endpoint {
  const options = {
    listen: config.listen,
    ...component.tls,
    keys: loadKeys(config),
    busyPollUs: config.transport.busyPollUs,
    server: {
      alpn: [ALPN.CONTROL],
      transport: outerServerTransport(config.transport),
      requireClientCert: true,
      retry: config.retry,
      maxHandshakes: config.limits.handshakes,
      maxHandshakesPerSource: config.limits.handshakesPerSecondPerSource,
    },
  };
  return bindEndpoint(options, 'listen');
}

function makeCore(config: IntermediateConfig, component: Component<'intermediate'>): IntermediateCore {
  const { identity, signGrant, verifyGrant } = component;
  const { connections, connectionsPerIdentity, sessionsPerAgent, controlMessagesPerSecond } = config.limits;
  return new IntermediateCore(
    {
      id: identity.id,
      local: localInfo(identity.tenant),
      randomSessionUid: () => toHex(randomBytes(16)) as SessionUid,
      signGrant,
      verifyGrant,
    },
    {
      maxPeers: connections,
      maxConnectionsPerAgent: connectionsPerIdentity,
      maxSessionsPerAgent: sessionsPerAgent,
      messagesPerSecond: controlMessagesPerSecond,
      messageBurst: 2 * controlMessagesPerSecond,
    },
  );
}
