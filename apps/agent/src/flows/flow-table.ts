import type { Connection, QuicStream, TcpSocket } from '@ztna/quic';
import type { AgentInput, AgentOutput, FlowKey } from '@ztna/session';
import { type FlowId, fromWireError, LIMITS, type SessionUid, wireError, ZtnaError } from '@ztna/wire';
import type { Target } from '../services.ts';
import { abandonStream, type Flow, lost, openStream, readResult, readResultInto } from './flow.ts';

type FlowReady = Extract<AgentOutput, { type: 'flow-ready' }>;
type FlowFailed = Extract<AgentOutput, { type: 'flow-failed' }>;

export interface FlowTableOptions {
  /** Open flows at a time; more are refused with `limit`. */
  readonly maxFlows: number;
  /** Time for FlowResult. */
  readonly resultTimeoutMs: number;
  readonly input: (input: AgentInput) => void;
  readonly connection: (session: SessionUid) => Connection | undefined;
  /** Why a flow has no answer in time, when that is not the connector's silence. */
  readonly whyUnanswered: (flow: FlowKey, target: Target) => unknown;
  /** The connector refused a flow, or did not answer as it should: the code that its application sees. */
  readonly onRefused: (code: string) => void;
}

/** Every flow from the request to its end: asks the core for a session and opens the stream in it. */
export class FlowTable {
  readonly #options: FlowTableOptions;
  /** With the stream, once there is one. */
  readonly #open = new Map<FlowKey, QuicStream | undefined>();
  readonly #waiting = new Map<FlowKey, PromiseWithResolvers<FlowReady>>();
  #lastKey = 0;
  #lastFlowId = 0;

  constructor(options: FlowTableOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#open.size;
  }

  /**
   * Opens a flow: waits for a session, opens a stream, sends FlowOpen. Throws a ZtnaError: `unknown-service`,
   * `not-authorized`, `no-connector`, `timeout`, `limit`, ...; the message says what to do.
   */
  async open(target: Target, signal?: AbortSignal): Promise<Flow> {
    const { maxFlows } = this.#options;
    if (this.#open.size >= maxFlows) {
      throw fromWireError(wireError('limit', `${maxFlows} flows are open already; raise limits.flows`));
    }
    const key = ++this.#lastKey as FlowKey;
    this.#open.set(key, undefined);
    try {
      const ready = await this.#session(key, target, signal);
      return await this.#start(key, target, ready);
    } catch (error) {
      this.#release(key);
      throw error;
    }
  }

  onReady(ready: FlowReady): void {
    const waiting = this.#waiting.get(ready.flow);
    this.#waiting.delete(ready.flow);
    waiting?.resolve(ready);
  }

  onFailed({ flow, error }: FlowFailed): void {
    const waiting = this.#waiting.get(flow);
    this.#waiting.delete(flow);
    waiting?.reject(fromWireError(error));
  }

  /** Nothing more of the flow is sent; who has it sees its stream end. */
  cut(flow: FlowKey): void {
    const stream = this.#open.get(flow);
    if (stream) abandonStream(stream);
  }

  async #session(flow: FlowKey, target: Target, signal: AbortSignal | undefined): Promise<FlowReady> {
    const waiting = Promise.withResolvers<FlowReady>();
    const abort = () =>
      waiting.reject(new ZtnaError({ code: 'aborted', fault: 'peer', happened: 'given up' }));
    this.#waiting.set(flow, waiting);
    signal?.addEventListener('abort', abort, { once: true });
    if (signal?.aborted) abort();
    else this.#options.input({ type: 'flow-requested', flow, ...target });
    try {
      return await waiting.promise;
    } finally {
      this.#waiting.delete(flow);
      signal?.removeEventListener('abort', abort);
    }
  }

  async #start(key: FlowKey, target: Target, ready: FlowReady): Promise<Flow> {
    const connection = this.#options.connection(ready.session);
    if (!connection) throw lost(target, 'closed');
    const flowId = target.transport === 'udp' ? this.#nextFlowId() : (0 as FlowId);
    const stream = await openStream(connection, target, ready.subject, flowId).catch((error: Error) => {
      throw lost(target, error.message);
    });
    this.#open.set(key, stream);
    const { resultTimeoutMs: timeoutMs, whyUnanswered } = this.#options;
    const patience = { timeoutMs, why: () => whyUnanswered(key, target) };
    const result = () => this.#counted(readResult(stream, target, patience));
    const resultInto = (socket: TcpSocket) => this.#counted(readResultInto(stream, target, patience, socket));
    const abandon = () => abandonStream(stream);
    return {
      target,
      connection,
      stream,
      flowId,
      result,
      resultInto,
      abandon,
      release: () => this.#release(key),
    };
  }

  async #counted(result: Promise<void>): Promise<void> {
    try {
      await result;
    } catch (error) {
      this.#options.onRefused(error instanceof ZtnaError ? error.code : 'internal');
      throw error;
    }
  }

  #release(key: FlowKey): void {
    if (this.#open.delete(key)) this.#options.input({ type: 'flow-closed', flow: key });
  }

  /** Comes round after a thousand million associations; those of today are long over by then. */
  #nextFlowId(): FlowId {
    this.#lastFlowId = (this.#lastFlowId % LIMITS.flowId) + 1;
    return this.#lastFlowId as FlowId;
  }
}
