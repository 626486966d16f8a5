import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { isIPv6 } from 'node:net';
import { type Address, formatAddress, listenFault } from '@ztna/runtime';
import { bound, type Listening } from './listen.ts';

/** Wished for; the kernel gives what it allows. */
const bufferBytes = 4 << 20;

/** Sends each datagram back to where it came from. */
export async function serveUdpEcho(address: Address, option: string): Promise<Listening> {
  const socket = createSocket({
    type: isIPv6(address.host) ? 'udp6' : 'udp4',
    // Answers go to addresses, so that no resolver is asked for each of them; `localhost` is IPv4 here.
    lookup: (host, _options, callback) => callback(null, host === 'localhost' ? '127.0.0.1' : host, 0),
  });
  // The look-up answers at once, so `bind` may emit before it returns.
  const listening = once(socket, 'listening');
  socket.bind(address.port, address.host);
  try {
    await listening;
  } catch (cause) {
    throw listenFault(formatAddress(address), option, cause);
  }
  enlargeBuffers(socket);
  // A datagram that cannot be sent back is lost, as datagrams are.
  socket.on('error', () => {});
  socket.on('message', (datagram, from) => socket.send(datagram, from.port, from.address, () => {}));
  return {
    address: bound(socket.address()),
    async [Symbol.asyncDispose]() {
      const closed = once(socket, 'close');
      socket.close();
      await closed;
    },
  };
}

function enlargeBuffers(socket: Socket): void {
  try {
    socket.setRecvBufferSize(bufferBytes);
    socket.setSendBufferSize(bufferBytes);
  } catch {
    // The default must do.
  }
}
