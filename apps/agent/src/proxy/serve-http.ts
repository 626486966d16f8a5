import type { TcpSocket } from '@ztna/quic';
import { carry } from './carry.ts';
import { CONNECT_ESTABLISHED, httpAnswer, parseHead } from './http-head.ts';
import type { HandshakeReader } from './reader.ts';
import { replyFor } from './replies.ts';
import type { ProxyContext } from './start.ts';

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
  const refusal = await carry(context, 'HTTP proxy', socket, request.destination, async (flow) => {
    if (request.type === 'forward') await flow.stream.write(Buffer.from(request.head, 'latin1'));
    await flow.result();
    if (request.type === 'connect') await socket.write(Buffer.from(CONNECT_ESTABLISHED));
  });
  if (refusal) await answer(socket, httpAnswer(replyFor(refusal.code).http, refusal.message));
}

async function answer(socket: TcpSocket, text: string): Promise<void> {
  await socket.write(Buffer.from(text));
  socket.close();
}
