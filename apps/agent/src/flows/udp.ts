import type { UdpFlow, UdpFlowEnd, UdpPeer } from '@ztna/quic';
import { flowPrefix } from '@ztna/wire';
import type { Flow } from './flow.ts';

/** A local UDP program joined to a flow. */
export interface Association {
  /** Resolves when it is over, by whichever side. */
  readonly ended: Promise<UdpFlowEnd['reason'] | 'connector'>;
  close(): void;
}

/**
 * Joins a local UDP peer to a flow that is open. The flow's stream lives as long as the association: its end tells the
 * connector that we are done, and the connector's end of it closes the local side.
 */
export function joinUdp(flow: Flow, peer: UdpPeer, idleTimeoutMs: number): Association {
  const { stream, connection } = flow;
  const ended = Promise.withResolvers<UdpFlowEnd['reason'] | 'connector'>();
  const prefix = flowPrefix(flow.flowId);
  const end = (reason: UdpFlowEnd['reason'] | 'connector') => {
    ended.resolve(reason);
    stream.stop(0);
    stream.finish().catch(() => {}); // it may be gone already
  };
  const udp: UdpFlow = peer.bind({ connection, prefix, idleTimeoutMs });
  void udp.closed.then(({ reason }) => end(reason));
  const onConnectorEnd = () => {
    end('connector');
    udp.close();
  };
  stream.read().then(onConnectorEnd, onConnectorEnd);
  return { ended: ended.promise, close: () => udp.close() };
}
