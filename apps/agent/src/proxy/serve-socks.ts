import type { TcpSocket } from '@ztna/quic';
import { serveAssociation } from './associate.ts';
import { carry } from './carry.ts';
import type { HandshakeReader } from './reader.ts';
import { replyFor } from './replies.ts';
import {
  encodeMethod,
  encodeReply,
  parseGreeting,
  parseRequest,
  REPLY,
  type SocksDestination,
  type SocksError,
} from './socks5.ts';
import type { ProxyContext } from './start.ts';

/** One SOCKS5 client, without authentication: who can reach the port may use it. */
export async function serveSocks(
  context: ProxyContext,
  socket: TcpSocket,
  reader: HandshakeReader,
  handshakeOver: () => void,
): Promise<void> {
  const greeting = await reader.read(parseGreeting);
  if (!greeting) return socket.close();
  if (greeting.type === 'error') return refuse(context, socket, greeting.error);
  if (!greeting.value.noAuthentication) {
    context.agent.observer.add('proxy_refused', 'socks-authentication');
    return answer(socket, encodeMethod(0xff));
  }
  await socket.write(encodeMethod(0));
  const request = await reader.read(parseRequest);
  handshakeOver();
  if (!request) return socket.close();
  if (request.type === 'error') return refuse(context, socket, request.error);
  reader.release();
  const { command, destination } = request.value;
  if (command === 'udp-associate') return serveAssociation(context, socket, destination);
  return connect(context, socket, destination);
}

async function connect(
  context: ProxyContext,
  socket: TcpSocket,
  destination: SocksDestination,
): Promise<void> {
  const refusal = await carry(context, 'SOCKS', socket, destination, async (flow) => {
    await flow.result();
    await socket.write(encodeReply(REPLY.succeeded));
  });
  if (refusal) await answer(socket, encodeReply(replyFor(refusal.code).socks));
}

async function refuse(
  { agent }: ProxyContext,
  socket: TcpSocket,
  { reply, detail }: SocksError,
): Promise<void> {
  agent.observer.add('proxy_refused', `socks-${reply ?? 'malformed'}`);
  agent.log.debug({ event: 'proxy.refused', detail }, 'SOCKS client refused');
  if (reply === undefined) return socket.close();
  return answer(socket, encodeReply(reply));
}

async function answer(socket: TcpSocket, bytes: Uint8Array): Promise<void> {
  await socket.write(bytes);
  socket.close();
}
