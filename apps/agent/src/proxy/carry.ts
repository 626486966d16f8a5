import type { TcpSocket } from '@ztna/quic';
import type { Flow } from '../flows/flow.ts';
import { joinOpenTcp } from '../flows/tcp.ts';
import { asFlowError } from '../local.ts';
import type { ProxyContext } from './start.ts';
import { type Destination, findTarget } from './target.ts';

/**
 * Carries what a proxy's client asked for until it ends. `begin` waits for the flow and answers the client. Gives what
 * the client is to be told when there is no flow, once it is logged.
 */
export async function carry(
  context: ProxyContext,
  kind: 'SOCKS' | 'HTTP proxy',
  socket: TcpSocket,
  destination: Destination,
  begin: (flow: Flow) => Promise<void>,
): Promise<ReturnType<typeof asFlowError> | undefined> {
  const { agent } = context;
  try {
    const flow = await agent.openFlow(findTarget(context, 'tcp', destination));
    try {
      await begin(flow);
      const { reason } = await joinOpenTcp(flow, socket);
      agent.observer.add('tcp_flow_ended', reason);
    } catch (error) {
      flow.abandon();
      throw error;
    } finally {
      flow.release();
    }
    return undefined;
  } catch (error) {
    const refusal = asFlowError(error);
    const { code, message: reason } = refusal;
    const { host: name, port } = destination;
    agent.observer.add('local_flow_failed', code);
    agent.log.warn({ event: 'flow.failed', name, port, code, reason }, `${kind}: flow failed`);
    return refusal;
  }
}
