// A hand in a host's network. One request of JSON a line in, one answer `{id, …}` a line out; what arrives by
// itself is `{event, …}`. Everything ends with the process.
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { placeOf } from './place.ts';
import { StreamEcho } from './stream-echo.ts';
import { UdpEcho } from './udp-echo.ts';

interface Request {
  readonly id: number;
  readonly do: string;
  readonly [field: string]: unknown;
}

const sockets = new Map<number, Socket>();
const echoes = new Map<number, StreamEcho | UdpEcho>();
let last = 0;

const say = (line: object) => process.stdout.write(`${JSON.stringify(line)}\n`);

const actions: Readonly<Record<string, (request: Request) => Promise<object> | object>> = {
  /** Opens a UDP socket; what arrives on it becomes an event, or goes back with `echo`. */
  async udpOpen({ address = '0.0.0.0', port = 0, echo = false }) {
    const number = ++last;
    const socket = createSocket({ type: String(address).includes(':') ? 'udp6' : 'udp4' });
    // Without a peer nobody wants to hear of "connection refused".
    socket.on('error', () => {});
    socket.on('message', (message, from) => {
      if (echo) socket.send(message, from.port, from.address);
      else
        say({
          event: 'udp',
          socket: number,
          from: `${from.address} ${from.port}`,
          text: head(message),
          size: message.length,
        });
    });
    socket.bind({ address: String(address), port: Number(port) });
    await once(socket, 'listening');
    sockets.set(number, socket);
    return { socket: number, port: socket.address().port };
  },
  async udpSend({ socket, to, text, size = 0, count = 1 }) {
    const { host, port } = placeOf(String(to));
    const payload = Buffer.alloc(Math.max(Number(size), Buffer.byteLength(String(text))));
    payload.write(String(text));
    let failed = 0;
    for (let i = 0; i < Number(count); i++) {
      await new Promise<void>((resolve) => {
        sockets.get(Number(socket))?.send(payload, port, host, (error) => {
          if (error) failed++;
          resolve();
        });
      });
    }
    return { failed };
  },
  async tcpListen({ address = '0.0.0.0', port = 0 }) {
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.pipe(socket);
    });
    server.listen(Number(port), String(address));
    await once(server, 'listening');
    return { port: (server.address() as { port: number }).port };
  },
  /** Milliseconds until a TCP connection stands. */
  async tcpConnect({ to }) {
    const started = performance.now();
    const socket = connect(placeOf(String(to)));
    await once(socket, 'connect');
    socket.destroy();
    return { ms: performance.now() - started };
  },
  /** Begins an echo that goes on until `echoStop`: `kind` tcp or udp. */
  async echoStart({ kind, to, everyMs = 20, size = 64 }) {
    const number = ++last;
    const Echo = kind === 'udp' ? UdpEcho : StreamEcho;
    echoes.set(number, await Echo.open(String(to), Number(everyMs), Number(size)));
    return { echo: number };
  },
  echoStats({ echo }) {
    return echoes.get(Number(echo))?.tally.stats() ?? {};
  },
  /** Resolves when something that is sent from now on has come back. */
  async echoAlive({ echo }) {
    return (await echoes.get(Number(echo))?.tally.alive()) ?? {};
  },
  /** Gaps count from now on; the statistics so far. */
  echoFresh({ echo }) {
    const { tally } = echoes.get(Number(echo)) ?? {};
    const before = tally?.stats() ?? {};
    tally?.fresh();
    return before;
  },
  echoStop({ echo }) {
    echoes.get(Number(echo))?.stop();
    return {};
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line) as Request;
  void answer(request);
}
process.exit(0);

async function answer(request: Request): Promise<void> {
  try {
    const action = actions[request.do];
    if (!action) throw new Error(`nothing is called ${request.do}`);
    say({ id: request.id, ...(await action(request)) });
  } catch (error) {
    say({ id: request.id, error: error instanceof Error ? error.message : String(error) });
  }
}

function head(message: Buffer): string {
  const end = message.indexOf(0);
  return message.toString('utf8', 0, end < 0 ? Math.min(message.length, 200) : Math.min(end, 200));
}
