import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import type { Check } from './check.ts';

const count = 1000;
/** Under way at once. */
const window = 16;
/** From the least that carries a number to what needs fragments. */
const sizes = [4, 64, 512, 1200, 1472, 4000];
/** Without an answer for so long a datagram is sent again, ms: UDP may lose, and that is told. */
const resendMs = 400;
/** More than so many sent again is no longer bad luck. */
const maxResent = count / 100;

export const udpEcho: Check = {
  name: 'udp-echo',
  title: 'UDP echo, 1,000 datagrams',
  timeoutMs: 30_000,
  async run({ udp, signal }) {
    const socket = createSocket({ type: 'udp4', lookup: (host, _, callback) => callback(null, host, 4) });
    try {
      socket.connect(udp.port, udp.host);
      await once(socket, 'connect', { signal });
      const { resent, bytes } = await exchange(socket, signal);
      const lost = resent === 0 ? 'none lost' : `${resent} sent again`;
      return { detail: `${count} of ${count} came back unchanged, 4 to 4,000 bytes, ${lost}`, bytes };
    } finally {
      socket.close();
    }
  },
};

interface Pending {
  readonly datagram: Buffer;
  readonly timer: NodeJS.Timeout;
}

async function exchange(socket: ReturnType<typeof createSocket>, signal: AbortSignal) {
  const pending = new Map<number, Pending>();
  let resent = 0;
  let sent = 0;
  let answered = 0;
  let bytes = 0;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onAbort = () => reject(new Error(`${answered} of ${count} came back`));
  signal.addEventListener('abort', onAbort);
  socket.on('error', reject);
  socket.on('message', (datagram) => {
    const number = datagram.length < 4 ? -1 : datagram.readUInt32BE(0);
    const expected = pending.get(number);
    // The second answer to a datagram that was sent twice.
    if (!expected && number >= 0 && number < sent) return;
    if (!expected?.datagram.equals(datagram))
      return reject(new Error(`datagram ${number} came back changed`));
    clearTimeout(expected.timer);
    pending.delete(number);
    answered++;
    if (answered === count) resolve();
    else sendMore();
  });
  sendMore();
  try {
    await promise;
    return { resent, bytes };
  } finally {
    signal.removeEventListener('abort', onAbort);
    for (const { timer } of pending.values()) clearTimeout(timer);
  }

  function sendMore(): void {
    while (sent < count && pending.size < window) send(sent++);
  }

  function send(number: number): void {
    const datagram = randomBytes(sizes[number % sizes.length] ?? 4);
    datagram.writeUInt32BE(number, 0);
    bytes += datagram.length;
    const timer = setInterval(() => {
      resent++;
      if (resent > maxResent)
        reject(new Error(`${answered} came back, and more than ${maxResent} were lost`));
      else socket.send(datagram);
    }, resendMs);
    pending.set(number, { datagram, timer });
    socket.send(datagram);
  }
}
