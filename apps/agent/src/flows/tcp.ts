import type { SpliceResult, TcpSocket } from '@ztna/quic';
import { wireErrorNumber } from '@ztna/wire';
import type { Flow } from './flow.ts';

/**
 * Joins a local connection to a flow at once: its first bytes travel right behind FlowOpen. Resolves at the end of
 * both directions; throws what `Flow.result` throws after the local side was reset.
 */
export async function joinTcp(flow: Flow, socket: TcpSocket): Promise<SpliceResult> {
  flow.stream.spliceSend(socket);
  try {
    await flow.result();
  } catch (error) {
    resetSpliced(flow, socket);
    throw error;
  }
  flow.stream.spliceRecv(socket);
  return flow.stream.spliceDone;
}

/** Joins a local connection to a flow that is open, `result` awaited: what a proxy does after its answer. */
export async function joinOpenTcp(flow: Flow, socket: TcpSocket): Promise<SpliceResult> {
  flow.stream.spliceSend(socket);
  flow.stream.spliceRecv(socket);
  return flow.stream.spliceDone;
}

/** The socket belongs to the stream since `spliceSend`: receiving from a stream that was stopped resets both. */
function resetSpliced(flow: Flow, socket: TcpSocket): void {
  flow.stream.stop(wireErrorNumber('going-away'));
  flow.stream.spliceRecv(socket);
}
