import { numberOf, readFrame } from '@ztna/link';
import type { Connection, Endpoint, QuicStream, UdpFlow } from '@ztna/quic';
import { type ConnectorInput, FLOW_HEADER_TIMEOUT_MS, type FlowKey, Tally } from '@ztna/session';
import {
  decodeFlowOpen,
  encodeFlowResult,
  encodeFrame,
  type FlowOpen,
  flowPrefix,
  LIMITS,
  type SessionUid,
  type SpiffeId,
  type Target,
  type WireError,
  wireError,
} from '@ztna/wire';
import type { Dialer } from './dial.ts';

/** Streams whose FlowOpen is awaited at a time: in all, and of one agent, so that none takes them from others. */
const MAX_PENDING_HEADERS = 16_384;
const MAX_PENDING_HEADERS_PER_AGENT = 1_024;

export interface FlowsOptions {
  readonly endpoint: Pick<Endpoint, 'dialUdp'>;
  readonly dialer: Dialer;
  readonly connection: (session: SessionUid) => Connection | undefined;
  readonly agentOf: (session: SessionUid) => SpiffeId | undefined;
  readonly input: (input: ConnectorInput) => void;
  readonly udpIdleTimeoutMs: number;
  /** Open flows of all sessions. */
  readonly maxFlows: number;
  /** A stream was reset before the core was asked. */
  readonly count: (cause: 'limit' | 'no-header' | 'flow-id-in-use') => void;
}

/** FlowResult without an error, as it goes over the wire. */
const FLOW_IS_OPEN = encodeFrame(encodeFlowResult({}));

interface Flow {
  readonly key: FlowKey;
  readonly session: SessionUid;
  readonly stream: QuicStream;
  readonly open: FlowOpen;
  /** The stream is joined to the backend's connection, and the agent was told so. */
  joined: boolean;
  udp: UdpFlow | undefined;
}

interface Figures {
  readonly sent: number;
  readonly received: number;
  readonly reason: string;
}

/** Streams of inner connections on the one side, sockets to backends on the other; the core decides in between. */
export class Flows {
  readonly #options: FlowsOptions;
  readonly #flows = new Map<FlowKey, Flow>();
  readonly #udpIds = new Map<string, FlowKey>();
  #lastKey = 0;
  readonly #pendingHeaders = new Tally<SpiffeId>();

  constructor(options: FlowsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#flows.size;
  }

  /** A new stream of a session: reads its FlowOpen and asks the core. */
  async onStream(session: SessionUid, stream: QuicStream): Promise<void> {
    const { agentOf, count } = this.#options;
    const agent = agentOf(session);
    if (agent === undefined) return abort(stream, wireError('unknown-session', 'the session is over'));
    if (this.#isFull(agent)) {
      count('limit');
      return abort(stream, wireError('limit', 'too many flows'));
    }
    this.#pendingHeaders.add(agent, 1);
    const open = await readFlowOpen(stream);
    this.#pendingHeaders.add(agent, -1);
    if (!open) {
      count('no-header');
      return abort(stream, wireError('protocol', 'no FlowOpen'));
    }
    const key = ++this.#lastKey as FlowKey;
    if (!this.#claimId(session, open, key)) {
      count('flow-id-in-use');
      return abort(stream, wireError('protocol', 'flow id in use'));
    }
    this.#flows.set(key, { key, session, stream, open, joined: false, udp: undefined });
    const { protocol: transport, service, port, subject, traceId } = open;
    this.#options.input({
      type: 'flow-opened',
      session,
      flow: key,
      service,
      transport,
      port,
      subject,
      traceId,
    });
  }

  async dial(key: FlowKey, target: Target): Promise<void> {
    const flow = this.#flows.get(key);
    if (!flow) return;
    const outcome =
      flow.open.protocol === 'tcp' ? await this.#dialTcp(flow, target) : await this.#dialUdp(flow, target);
    if (this.#flows.get(key) !== flow) return discard(flow); // refused meanwhile
    if (outcome.ok) return this.#options.input({ type: 'dial-succeeded', flow: key });
    const { code, reason } = outcome;
    this.#options.input({ type: 'dial-failed', flow: key, code, reason });
  }

  /** The flow is open: tells the agent, and joins stream and backend. */
  async answer(key: FlowKey): Promise<void> {
    const flow = this.#flows.get(key);
    if (!flow) return;
    const { stream, joined, udp } = flow;
    if (joined) return this.#closed(flow, await untilSpliceEnd(stream));
    try {
      await stream.write(FLOW_IS_OPEN);
    } catch (error) {
      discard(flow);
      return this.#closed(flow, { sent: 0, received: 0, reason: reasonOf(error) });
    }
    if (udp) this.#closed(flow, await this.#untilUdpEnd(stream, udp));
  }

  /** Tells the agent why there is no flow. */
  refuse(key: FlowKey, error: WireError): void {
    const flow = this.#flows.get(key);
    if (!flow) return;
    this.#forget(flow);
    discard(flow);
    const { stream } = flow;
    stream.stop(numberOf(error));
    const frame = encodeFrame(encodeFlowResult({ error }));
    stream.write(frame).then(
      () => stream.finish().catch(() => undefined),
      () => undefined,
    );
  }

  /** Ends an open flow at once; `flow-closed` follows. */
  cut(key: FlowKey, error: WireError): void {
    const flow = this.#flows.get(key);
    if (!flow) return;
    flow.udp?.close();
    abort(flow.stream, error);
  }

  /** Dials, and joins the stream to the backend at once: the core has decided before. */
  async #dialTcp(flow: Flow, target: Target) {
    const { stream } = flow;
    const dialled = await this.#options.dialer.tcp(target, (address, timeoutMs) =>
      stream.spliceDial({ address, timeoutMs, preamble: FLOW_IS_OPEN }),
    );
    flow.joined = dialled.ok;
    return dialled;
  }

  async #dialUdp(flow: Flow, target: Target) {
    const resolved = await this.#options.dialer.resolve(target);
    if (!resolved.ok) return resolved;
    const connection = this.#options.connection(flow.session);
    const [address] = resolved.addresses;
    if (!connection || address === undefined || flow.open.protocol !== 'udp' || !this.#flows.has(flow.key)) {
      return { ok: false, code: 'internal', reason: 'the session is over' } as const;
    }
    try {
      flow.udp = this.#options.endpoint.dialUdp({
        address,
        connection,
        prefix: flowPrefix(flow.open.flowId),
        idleTimeoutMs: this.#options.udpIdleTimeoutMs,
      });
    } catch (error) {
      return { ok: false, code: 'internal', reason: reasonOf(error) } as const; // no sockets left
    }
    return resolved;
  }

  /** Datagrams pass natively; the stream only says how long: its end is the flow's, and the other way round. */
  async #untilUdpEnd(stream: QuicStream, udp: UdpFlow): Promise<Figures> {
    const ended = Promise.withResolvers<string>();
    readToEnd(stream).then(
      () => ended.resolve('finished'),
      (error) => ended.resolve(reasonOf(error)),
    );
    void udp.closed.then(({ reason }) => ended.resolve(reason));
    const reason = await ended.promise;
    udp.close();
    stream.stop(0);
    stream.finish().catch(() => undefined);
    const { stats } = await udp.closed;
    return { sent: stats.receivedBytes, received: stats.sentBytes, reason };
  }

  #closed(flow: Flow, figures: Figures): void {
    this.#forget(flow);
    this.#options.input({ type: 'flow-closed', flow: flow.key, ...figures });
  }

  #isFull(agent: SpiffeId): boolean {
    return (
      this.#flows.size >= this.#options.maxFlows ||
      this.#pendingHeaders.total >= MAX_PENDING_HEADERS ||
      this.#pendingHeaders.of(agent) >= MAX_PENDING_HEADERS_PER_AGENT
    );
  }

  #claimId(session: SessionUid, open: FlowOpen, key: FlowKey): boolean {
    if (open.protocol !== 'udp') return true;
    const id = `${session}:${open.flowId}`;
    if (this.#udpIds.has(id)) return false;
    this.#udpIds.set(id, key);
    return true;
  }

  #forget({ key, session, open }: Flow): void {
    this.#flows.delete(key);
    if (open.protocol === 'udp') this.#udpIds.delete(`${session}:${open.flowId}`);
  }
}

async function readFlowOpen(stream: QuicStream): Promise<FlowOpen | undefined> {
  const frame = await readFrame(stream, LIMITS.flowHeader, FLOW_HEADER_TIMEOUT_MS);
  const open = frame.ok ? decodeFlowOpen(frame.value) : undefined;
  return open?.ok ? open.value : undefined;
}

async function readToEnd(stream: QuicStream): Promise<void> {
  while ((await stream.read()) !== null);
}

/** Both directions pass natively. `sent`: bytes towards the backend. */
async function untilSpliceEnd(stream: QuicStream): Promise<Figures> {
  const { sent, received, reason } = await stream.spliceDone;
  return { sent: received, received: sent, reason };
}

function abort(stream: QuicStream, error: WireError): void {
  const code = numberOf(error);
  stream.stop(code);
  stream.reset(code);
}

/** Gives up what was dialled for a flow that is not wanted any more. */
function discard({ joined, stream, udp }: Flow): void {
  if (joined) abort(stream, wireError('going-away', 'not wanted any more'));
  udp?.close();
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
