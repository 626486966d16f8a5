import type { TcpSocket } from '@ztna/quic';
import { joinOpenTcp } from '../flows/tcp.ts';
import { asFlowError } from '../local.ts';
import { CONNECT_ESTABLISHED, httpAnswer, parseHead } from './http-head.ts';
import type { HandshakeReader } from './reader.ts';
import { replyFor } from './replies.ts';
import type { ProxyContext } from './start.ts';
import { findTarget } from './target.ts';

/** One HTTP client: CONNECT, or one request for an `http:` URL. */
export async function serveHttp(
  context: ProxyContext,
  socket: TcpSocket,
  reader: HandshakeReader,
  handshakeOver: () => void,
): Promise<void> {
  const { agent } = context;
  const parsed = await reader.read(parseHead);
  handshakeOver();
  if (!parsed) return socket.close();
  if (parsed.type === 'error') {
    agent.observer.add('proxy_refused', `http-${parsed.error.status}`);
    return answer(socket, httpAnswer(parsed.error.status, parsed.error.detail));
  }
  reader.release();
  const request = parsed.value;
  try {
    const target = findTarget(context, 'tcp', request.destination);
    const flow = await agent.openFlow(target);
    try {
      if (request.type === 'forward') await flow.stream.write(Buffer.from(request.head, 'latin1'));
      await flow.result();
      if (request.type === 'connect') await socket.write(Buffer.from(CONNECT_ESTABLISHED));
      const { reason } = await joinOpenTcp(flow, socket);
      agent.observer.add('tcp_flow_ended', reason);
    } catch (error) {
      flow.abandon();
      throw error;
    } finally {
      flow.release();
    }
  } catch (error) {
    const { code, message } = asFlowError(error);
    const { service, port } = describe(request.destination);
    agent.observer.add('local_flow_failed', code);
    agent.log.warn(
      { event: 'flow.failed', name: service, port, code, reason: message },
      'HTTP proxy: flow failed',
    );
    await answer(socket, httpAnswer(replyFor(code).http, message));
  }
}

function describe({ host, port }: { host: string; port: number }) {
  return { service: host, port };
}

async function answer(socket: TcpSocket, text: string): Promise<void> {
  await socket.write(Buffer.from(text));
  socket.close();
}
