import type { SpliceResult, TcpSocket } from '@ztna/quic';
import type { Flow } from './flow.ts';

/**
 * Joins a local connection to a flow at once: its first bytes travel right behind FlowOpen, and what comes behind a good
 * FlowResult goes to it without a turn of ours. Resolves at the end of both directions; throws what `Flow.result`
 * throws after the local side was reset.
 */
export async function joinTcp(flow: Flow, socket: TcpSocket): Promise<SpliceResult> {
  flow.stream.spliceSend(socket);
  try {
    await flow.resultInto(socket);
  } catch (error) {
    socket.reset();
    throw error;
  }
  return flow.stream.spliceDone;
}

/** Joins a local connection to a flow that is open, `result` awaited: what a proxy does after its answer. */
export async function joinOpenTcp(flow: Flow, socket: TcpSocket): Promise<SpliceResult> {
  flow.stream.spliceSend(socket);
  flow.stream.spliceRecv(socket);
  return flow.stream.spliceDone;
}
