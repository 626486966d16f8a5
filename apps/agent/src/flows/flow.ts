import { readFrame } from '@ztna/link';
import type { Connection, QuicStream, TcpSocket } from '@ztna/quic';
import {
  decodeFlowResult,
  encodeFlowOpen,
  encodeFlowResult,
  encodeFrame,
  type FlowId,
  fromWireError,
  LIMITS,
  STREAM_CODE,
  type SubjectName,
  traceIdFromBytes,
  wireError,
  wireErrorNumber,
  ZtnaError,
} from '@ztna/wire';
import type { Target } from '../services.ts';
import { randomTraceBytes } from './random.ts';

/** Longest timer; the timeout is kept elsewhere. */
const NEVER_MS = 2 ** 31 - 1;

/** A flow whose FlowOpen is on its way. The application's bytes may follow at once. */
export interface Flow {
  readonly target: Target;
  readonly connection: Connection;
  readonly stream: QuicStream;
  /** Names a UDP flow's datagrams; 0 for TCP. */
  readonly flowId: FlowId;
  /**
   * Resolves when the connector has reached the backend. Call once, before anything else reads the stream.
   * Throws a ZtnaError with the connector's code (`backend-refused`, ...), `no-connector`, or, when no answer comes in time,
   * why the connector is not reached, or `timeout` when it is.
   */
  result(): Promise<void>;
  /** As `result`; what comes behind it goes to this socket. */
  resultInto(socket: TcpSocket): Promise<void>;
  /** Ends a stream that was not joined to anything. */
  abandon(): void;
  /** Takes the flow out of the books. The stream is the caller's to end. */
  release(): void;
}

/** Opens the stream of a flow and sends its FlowOpen. Throws QuicError ERR_CLOSED. */
export async function openStream(
  connection: Connection,
  target: Target,
  subject: SubjectName,
  flowId: FlowId,
): Promise<QuicStream> {
  const stream = connection.openBi();
  const traceId = traceIdFromBytes(randomTraceBytes());
  if (!traceId.ok) throw new TypeError(traceId.error.detail);
  const { service, port, transport } = target;
  const common = { service, port, subject, traceId: traceId.value };
  const open = encodeFlowOpen(
    transport === 'tcp' ? { ...common, protocol: 'tcp' } : { ...common, protocol: 'udp', flowId },
  );
  await stream.write(encodeFrame(open));
  return stream;
}

/** FlowResult without an error, as it comes over the wire. */
const FLOW_IS_OPEN = encodeFrame(encodeFlowResult({}));

/** How long to wait for FlowResult. */
export interface Patience {
  readonly timeoutMs: number;
  /** Asked when the time is over: what is known of the way to the connector; undefined when nothing speaks against that. */
  readonly why: () => unknown;
}

/** Reads FlowResult; what came behind it is put back. Throws a ZtnaError, see `Flow.result`. */
export function readResult(stream: QuicStream, target: Target, patience: Patience): Promise<void> {
  return inTime(stream, target, patience, () => readNow(stream, target));
}

/** As `readResult`; what comes behind it goes to the socket natively. */
export function readResultInto(
  stream: QuicStream,
  target: Target,
  patience: Patience,
  socket: TcpSocket,
): Promise<void> {
  return inTime(stream, target, patience, async () => {
    const isOpen = await stream.spliceRecvAfter(FLOW_IS_OPEN, socket);
    if (!isOpen) await readNow(stream, target);
  });
}

async function readNow(stream: QuicStream, target: Target): Promise<void> {
  const first = await readFrame(stream, LIMITS.flowHeader, NEVER_MS);
  if (!first.ok) {
    const { kind, detail } = first.error;
    if ('resetCode' in first.error && first.error.resetCode === STREAM_CODE.FLOW_RESET)
      throw resetAtOnce(target);
    throw kind === 'closed' || kind === 'truncated' ? lost(target, detail) : malformed(target, detail);
  }
  const result = decodeFlowResult(first.value);
  if (!result.ok) throw malformed(target, result.error.detail);
  if (result.value.error) throw refused(target, result.value.error);
}

/** Stopping the stream ends what reads from it: nobody may join it to anything before that. */
async function inTime(
  stream: QuicStream,
  target: Target,
  { timeoutMs, why }: Patience,
  read: () => Promise<void>,
): Promise<void> {
  let late = false;
  let known: unknown;
  const timer = setTimeout(() => {
    late = true;
    known = why(); // before the flow goes
    abandonStream(stream);
  }, timeoutMs);
  try {
    await read();
  } catch (error) {
    if (!late) throw error;
    const message = `service ${target.service}: the connector did not answer within ${timeoutMs} ms`;
    throw known ?? fromWireError(wireError('timeout', message));
  } finally {
    clearTimeout(timer);
  }
}

/** Ends both directions of a stream, whatever is under way. */
export function abandonStream(stream: QuicStream): void {
  const code = wireErrorNumber('going-away');
  stream.stop(code);
  stream.reset(code);
}

function refused(target: Target, error: Parameters<typeof fromWireError>[0]): ZtnaError {
  return fromWireError({ ...error, message: `service ${target.service}: ${error.message || error.code}` });
}

/** A reset overtakes what was sent before it: the connector's answer is not seen. */
function resetAtOnce(target: Target): ZtnaError {
  return refused(
    target,
    wireError('backend-refused', 'the backend took the connection and reset it at once'),
  );
}

/** The session ended under the flow. */
export function lost(target: Target, why: string): ZtnaError {
  const happened = `service ${target.service}: the session with the connector ended (${why})`;
  return new ZtnaError({ code: 'no-connector', fault: 'peer', happened, remedy: 'try again' });
}

function malformed(target: Target, detail: string): ZtnaError {
  const happened = `service ${target.service}: the connector's answer cannot be understood (${detail})`;
  return new ZtnaError({ code: 'protocol', fault: 'peer', happened, remedy: 'update the older component' });
}
