import {
  bindEndpoint,
  Component,
  type ComponentFiles,
  coreClock,
  innerClientTransport,
  localInfo,
  OuterLinks,
  outerClientTransport,
  readFrame,
  ticketName,
} from '@ztna/link';
import type { Connection, Endpoint, QuicStream, VirtualPath } from '@ztna/quic';
import { type CoreShell, type Logger, runCore } from '@ztna/runtime';
import {
  AgentCore,
  type AgentInput,
  type AgentOutput,
  type AgentSnapshot,
  type FlowKey,
} from '@ztna/session';
import {
  ALPN,
  decodeFlowResult,
  encodeFlowOpen,
  encodeFrame,
  type FlowId,
  LIMITS,
  relayPrefix,
  type ServiceName,
  type SessionUid,
  type TraceId,
  type TransportProtocol,
  type WireError,
  wireError,
} from '@ztna/wire';

export const TRANSPORT = { idleTimeoutMs: 30_000, keepAliveMs: 10_000, initialMtu: 1200, maxMtu: 1452 };
const ignore = () => {};
const TRACE = '0123456789abcdef0123456789abcdef' as TraceId;

/** What became of a flow: open, or the error that the application would see. */
export type FlowOutcome =
  | {
      readonly ok: true;
      readonly stream: QuicStream;
      readonly connection: Connection;
      readonly flowId: FlowId;
    }
  | { readonly ok: false; readonly error: WireError };

interface Inner {
  readonly path: VirtualPath;
  readonly connection: Promise<Connection>;
}

type Ready = Extract<AgentOutput, { type: 'flow-ready' }>;

/** The least agent that can open flows: the real core and links, and nothing round them. */
export class TestAgent implements AsyncDisposable {
  readonly component: Component<'agent'>;
  readonly endpoint: Endpoint;
  readonly #core: AgentCore;
  readonly #shell: CoreShell<AgentInput>;
  readonly #links: OuterLinks;
  readonly #inner = new Map<SessionUid, Inner>();
  readonly #flows = new Map<FlowKey, (outcome: FlowOutcome) => void>();
  #lastFlow = 0;
  /** Called before an inner connection is opened. */
  beforeInner: () => Promise<void> = async () => {};
  /** Put behind FlowOpen at once, as an application's first bytes. */
  early: { readonly bytes: Uint8Array; readonly finish: boolean } | undefined;

  constructor(files: ComponentFiles, log: Logger) {
    const clock = coreClock();
    this.component = Component.load('agent', files, clock.now());
    this.endpoint = bindEndpoint({ listen: '127.0.0.1:0', ...this.component.tls }, 'listen');
    this.#links = new OuterLinks({
      endpoint: this.endpoint,
      transport: outerClientTransport(TRANSPORT),
      verify: (chain) => this.component.verifyPeer(chain, ['intermediate'], clock.now()),
      input: (input) => this.#shell.input(input),
      log,
    });
    const { identity, verifyGrant } = this.component;
    this.#core = new AgentCore({
      identity,
      local: localInfo(identity.tenant),
      random: Math.random,
      verifyGrant,
    });
    this.#shell = runCore(this.#core, { ...clock, onOutput: (output) => this.#carryOut(output, log) });
    this.#shell.input({ type: 'snapshot', snapshot: this.component.snapshot });
  }

  stats() {
    return this.#core.stats();
  }

  /** Makes it believe another snapshot than that of its file. */
  give(snapshot: AgentSnapshot): void {
    this.#shell.input({ type: 'snapshot', snapshot });
  }

  /** Opens a flow as an application would. */
  flow(service: string, transport: TransportProtocol, port = 0): Promise<FlowOutcome> {
    const flow = ++this.#lastFlow as FlowKey;
    const outcome = new Promise<FlowOutcome>((resolve) => this.#flows.set(flow, resolve));
    this.#shell.input({ type: 'flow-requested', flow, service: service as ServiceName, transport, port });
    return outcome;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#shell.input({ type: 'stop', reason: 'test over' });
    await this.#links.settled();
    this.#shell.close();
    await this.endpoint.close();
  }

  #carryOut(output: AgentOutput, log: Logger) {
    switch (output.type) {
      case 'connect':
      case 'send':
      case 'disconnect':
        return this.#links.carryOut(output);
      case 'open-inner':
        return this.#openInner(output);
      case 'rebind-path': {
        const inner = this.#inner.get(output.session);
        const carrier = this.#links.connection(output.connection);
        const prefix = relayPrefix(output.relayId);
        if (carrier) inner?.path.rebind({ carrier, send: prefix, receive: prefix });
        return void inner?.connection.then((connection) => connection.ping(), ignore);
      }
      case 'accept-inner':
        return void this.#inner
          .get(output.session)
          ?.connection.then((connection) => connection.accept(), ignore);
      case 'close-inner': {
        const inner = this.#inner.get(output.session);
        this.#inner.delete(output.session);
        return void inner?.connection
          .then(
            (c) => c.close(),
            () => undefined,
          )
          .then(() => inner.path.close());
      }
      case 'flow-ready':
        return void this.#openFlow(output);
      case 'flow-failed':
        this.#flows.get(output.flow)?.({ ok: false, error: output.error });
        return;
      case 'event':
        log[output.level]({ event: output.event, ...output.fields }, output.event);
        return;
      case 'count':
      case 'path-policy':
      case 'cut-flow':
        return;
      default:
        output satisfies never;
    }
  }

  #openInner({
    session,
    connection: key,
    relayId,
    peer,
  }: Extract<AgentOutput, { type: 'open-inner' }>): void {
    const carrier = this.#links.connection(key);
    if (!carrier) return;
    const prefix = relayPrefix(relayId);
    const path = this.endpoint.addVirtualPath({ carrier, send: prefix, receive: prefix });
    const lost = (reason: string) => this.#shell.input({ type: 'inner-lost', session, reason });
    const transport = innerClientTransport(TRANSPORT);
    const connection = this.beforeInner().then(() =>
      this.endpoint.connect({
        remote: path.address,
        alpn: [ALPN.SESSION],
        serverName: ticketName(peer),
        transport,
      }),
    );
    this.#inner.set(session, { path, connection });
    connection.then(
      (inner) => {
        void inner.closed.then((info) => lost(info.reason));
        const identity = this.component.verifyPeer(inner.peerChain, ['connector'], Date.now());
        if (identity.ok) this.#shell.input({ type: 'inner-connected', session, identity: identity.value });
        else inner.close();
      },
      (error: Error) => lost(error.message),
    );
  }

  async #openFlow(ready: Ready): Promise<void> {
    const resolve = this.#flows.get(ready.flow);
    const connection = await this.#inner.get(ready.session)?.connection;
    if (!connection || !resolve) return;
    const flowId = ready.flow as number as FlowId;
    const { service, transport, port, subject } = ready;
    const common = { service, port, subject, traceId: TRACE };
    if (connection.isClosed)
      return resolve({ ok: false, error: wireError('going-away', 'the session is over') });
    const stream = connection.openBi();
    const open =
      transport === 'udp'
        ? ({ ...common, protocol: 'udp', flowId } as const)
        : ({ ...common, protocol: 'tcp' } as const);
    const head = encodeFrame(encodeFlowOpen(open));
    await stream.write(Buffer.concat([head, this.early?.bytes ?? new Uint8Array(0)]));
    if (this.early?.finish) await stream.finish();
    const frame = await readFrame(stream, LIMITS.flowHeader, 10_000);
    if (!frame.ok) return resolve({ ok: false, error: wireError('going-away', frame.error.detail) });
    const result = decodeFlowResult(frame.value);
    if (!result.ok) throw new Error(result.error.detail);
    const { error } = result.value;
    resolve(error ? { ok: false, error } : { ok: true, stream, connection, flowId });
  }
}
