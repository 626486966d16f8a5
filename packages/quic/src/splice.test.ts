import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Endpoint, type QuicStream, type SpliceResult, type TcpSocket } from './index.ts';
import { makePki, readAll, relayed, type TestPki } from './testing.ts';

let pki: TestPki;
let probe: Endpoint;
beforeAll(async () => {
  pki = await makePki();
  probe = Endpoint.bind({ listen: '127.0.0.1:0', trust: { roots: pki.roots } });
});
afterAll(() => probe.close());

const sha = (b: Uint8Array) => createHash('sha256').update(b).digest('hex');
const HEADER = Buffer.from('open');
const addressOf = (server: Server) => `127.0.0.1:${(server.address() as AddressInfo).port}`;

async function listen(handler: (socket: Socket) => void) {
  const server = createServer({ allowHalfOpen: true }, handler);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { server, address: addressOf(server), [Symbol.dispose]: () => void server.close() };
}

/** TCP on the agent's side, a stream over a relay, TCP to the backend: what a flow is. */
async function flow(backend: string) {
  const r = await relayed(pki);
  const [a, c] = r.inner;
  const results: Promise<SpliceResult>[] = [];
  c.onBiStream = async (stream: QuicStream) => {
    const header = await stream.read();
    stream.unread((header ?? new Uint8Array(0)).subarray(HEADER.length));
    const socket = await r.connector.dialTcp({ address: backend, timeoutMs: 5_000 });
    stream.spliceSend(socket);
    stream.spliceRecv(socket);
    results.push(stream.spliceDone);
  };
  const listener = r.agent.listenTcp({
    listen: '127.0.0.1:0',
    onConnection: async (socket: TcpSocket) => {
      const stream = a.openBi();
      // A stream is known to the peer once it carries something.
      await stream.write(HEADER);
      stream.spliceSend(socket);
      stream.spliceRecv(socket);
      results.push(stream.spliceDone);
    },
  });
  const [host = '', port = ''] = listener.address.split(':');
  const socket = connect({ host, port: Number(port), allowHalfOpen: true });
  await once(socket, 'connect');
  return { ...r, socket, results, [Symbol.asyncDispose]: r[Symbol.asyncDispose] };
}

async function collect(socket: Socket): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of socket) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

describe('a spliced flow', () => {
  it('carries 32 MiB up, then 32 MiB down after half-close', async () => {
    const up = randomBytes(32 << 20);
    const down = randomBytes(32 << 20);
    const got = Promise.withResolvers<Buffer>();
    using backend = await listen(async (socket) => {
      got.resolve(await collect(socket));
      socket.end(down);
    });
    await using f = await flow(backend.address);
    f.socket.end(up);
    expect(sha(await got.promise)).toBe(sha(up));
    expect(sha(await collect(f.socket))).toBe(sha(down));
    const done = await Promise.all(f.results);
    expect(done.map((d) => d.reason)).toEqual(['finished', 'finished']);
    expect(done.map((d) => d.sent).sort()).toEqual([32 << 20, 32 << 20]);
  });

  it('passes a reset of the application on to the backend', async () => {
    const broken = Promise.withResolvers<Error>();
    using backend = await listen((socket) => {
      socket.on('error', broken.resolve);
      socket.write('hello');
    });
    await using f = await flow(backend.address);
    await once(f.socket, 'data');
    f.socket.resetAndDestroy();
    expect(await broken.promise).toMatchObject({ code: 'ECONNRESET' });
  });

  it('passes a reset of the backend on to the application', async () => {
    using backend = await listen((socket) => {
      socket.once('data', () => socket.resetAndDestroy());
    });
    await using f = await flow(backend.address);
    f.socket.write('hello');
    const [error] = await once(f.socket, 'error');
    expect(error).toMatchObject({ code: 'ECONNRESET' });
    const [first] = await Promise.all(f.results);
    expect(first?.reason).not.toBe('finished');
  });

  it('holds back a backend whose client does not read', async () => {
    const chunk = Buffer.alloc(1 << 20);
    let accepted = 0;
    const stuck = Promise.withResolvers<void>();
    using backend = await listen((socket) => {
      socket.on('error', () => {});
      const fill = () => {
        while (accepted < 256) {
          accepted += 1;
          if (!socket.write(chunk)) return socket.once('drain', fill);
        }
      };
      fill();
      let before = -1;
      const watch = setInterval(() => {
        if (accepted === before) {
          clearInterval(watch);
          stuck.resolve();
        }
        before = accepted;
      }, 300);
    });
    await using f = await flow(backend.address);
    f.socket.pause();
    await stuck.promise;
    expect(accepted).toBeLessThan(128);
    f.socket.destroy();
  });

  it('ends on both sides when its socket is reset while only one direction is joined', async () => {
    const broken = Promise.withResolvers<Error>();
    using backend = await listen((socket) => {
      socket.on('error', broken.resolve);
      socket.write('hello');
    });
    await using r = await relayed(pki);
    const [a, c] = r.inner;
    const joined = Promise.withResolvers<void>();
    c.onBiStream = async (stream: QuicStream) => {
      const socket = await r.connector.dialTcp({ address: backend.address, timeoutMs: 5_000 });
      stream.spliceSend(socket);
      stream.spliceRecv(socket);
      joined.resolve();
    };
    const local = await r.agent.dialTcp({ address: backend.address, timeoutMs: 5_000 });
    const stream = a.openBi();
    await stream.write(HEADER);
    stream.spliceSend(local);
    local.reset();
    expect(await broken.promise).toMatchObject({ code: 'ECONNRESET' });
    await expect(readAll(stream)).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    await joined.promise;
  });

  it('resets the application when the session ends', async () => {
    using backend = await listen((socket) => {
      socket.on('error', () => {});
      socket.write('hello');
    });
    await using f = await flow(backend.address);
    await once(f.socket, 'data');
    const failed = once(f.socket, 'error');
    f.inner[0].close();
    expect((await failed)[0]).toMatchObject({ code: 'ECONNRESET' });
  });

  it('tells how much it carried when the session cuts it', async () => {
    using backend = await listen((socket) => {
      socket.on('error', () => {});
      socket.pipe(socket);
    });
    await using f = await flow(backend.address);
    f.socket.on('error', () => {});
    f.socket.write('hello');
    await once(f.socket, 'data');
    f.inner[0].close();
    const done = await Promise.all(f.results);
    expect(done).toEqual(Array(2).fill({ sent: 5, received: 5, reason: 'closed' }));
  });
});

describe('dialling', () => {
  it('says that the port is closed', async () => {
    using backend = await listen(() => {});
    backend.server.close();
    await once(backend.server, 'close');
    const dial = probe.dialTcp({ address: backend.address, timeoutMs: 5_000 });
    await expect(dial).rejects.toMatchObject({ code: 'ERR_TCP_REFUSED' });
  });

  it('refuses what is no address', async () => {
    await expect(probe.dialTcp({ address: 'web', timeoutMs: 1 })).rejects.toMatchObject({
      code: 'ERR_INVALID_ARG',
    });
  });

  it('gives the owner the bytes of a socket until it is spliced', async () => {
    using backend = await listen((socket) => socket.end('greeting'));
    const socket = await probe.dialTcp({ address: backend.address, timeoutMs: 5_000 });
    const parts: Uint8Array[] = [];
    for (let part = await socket.read(); part !== null; part = await socket.read()) parts.push(part);
    expect(Buffer.concat(parts).toString()).toBe('greeting');
    socket.close();
  });

  it('says that a listening port is taken', async () => {
    using backend = await listen(() => {});
    const listening = () => probe.listenTcp({ listen: backend.address, onConnection: () => {} });
    expect(listening).toThrow(expect.objectContaining({ code: 'ERR_BIND' }));
  });
});

it('sends what was written before a splice first, also when the windows were full then', async () => {
  await using r = await relayed(pki, undefined, { connectionWindow: 64 << 10 });
  const [a, c] = r.inner;
  const streams: QuicStream[] = [];
  const both = Promise.withResolvers<void>();
  c.onBiStream = (stream) => streams.push(stream) === 2 && both.resolve();
  using server = await listen((socket) => socket.end('payload'));
  const local = await r.agent.dialTcp({ address: server.address, timeoutMs: 5_000 });
  const first = a.openBi();
  const filled = first.write(Buffer.alloc(4 << 20)).then(() => first.finish());
  const second = a.openBi();
  await second.write(HEADER);
  second.spliceSend(local);
  const reading = (async () => {
    while (streams[0] === undefined) await c.stats();
    await readAll(streams[0]);
  })();
  await Promise.all([reading, filled, both.promise]);
  expect((await readAll(streams[1] as QuicStream)).toString()).toBe('openpayload');
});

it('holds what is written on a stream until the peer allows it', async () => {
  await using r = await relayed(pki, undefined, { maxBidiStreams: 1 });
  const [a, c] = r.inner;
  const streams: QuicStream[] = [];
  const arrived = Promise.withResolvers<void>();
  c.onBiStream = (stream) => streams.push(stream) === 2 && arrived.resolve();
  const first = a.openBi();
  const second = a.openBi();
  await second.write(Buffer.from('second'));
  const finished = second.finish();
  await first.write(Buffer.from('first'));
  await first.finish();
  while (streams[0] === undefined) await c.stats();
  expect((await readAll(streams[0])).toString()).toBe('first');
  await streams[0].finish();
  expect(await first.read()).toBe(null);
  await Promise.all([finished, arrived.promise]);
  expect((await readAll(streams[1] as QuicStream)).toString()).toBe('second');
});

describe('joining in one go', () => {
  const OK = Uint8Array.of(0);

  /** The agent expects OK and joins; the connector answers with `serve`. */
  async function joined(serve: (stream: QuicStream) => Promise<void>) {
    const r = await relayed(pki);
    const [a, c] = r.inner;
    const accepted = Promise.withResolvers<TcpSocket>();
    const listener = r.agent.listenTcp({ listen: '127.0.0.1:0', onConnection: accepted.resolve });
    c.onBiStream = (stream) => void serve(stream);
    const [host = '', port = ''] = listener.address.split(':');
    const app = connect({ host, port: Number(port), allowHalfOpen: true });
    const local = await accepted.promise;
    const stream = a.openBi();
    await stream.write(HEADER);
    stream.spliceSend(local);
    return {
      r,
      app,
      stream,
      matched: stream.spliceRecvAfter(OK, local),
      [Symbol.asyncDispose]: r[Symbol.asyncDispose],
    };
  }
  async function header(stream: QuicStream) {
    stream.unread(((await stream.read()) ?? new Uint8Array(0)).subarray(HEADER.length));
  }

  it('dials, answers and joins without a turn in between', async () => {
    using backend = await listen((socket) => void socket.pipe(socket));
    await using f = await joined(async (stream) => {
      await header(stream);
      const closed = await listen(() => {});
      closed.server.close();
      await once(closed.server, 'close');
      const attempt = (address: string) => stream.spliceDial({ address, timeoutMs: 5_000, preamble: OK });
      await expect(attempt(closed.address)).rejects.toMatchObject({ code: 'ERR_TCP_REFUSED' });
      await attempt(backend.address);
    });
    f.app.end('there and back');
    expect((await collect(f.app)).toString()).toBe('there and back');
    expect(await f.matched).toBe(true);
    expect((await f.stream.spliceDone).reason).toBe('finished');
  });

  it('joins nothing when something else comes, and leaves it to be read', async () => {
    await using f = await joined(async (stream) => {
      await header(stream);
      await stream.write(Buffer.from('no'));
      await stream.finish();
    });
    expect(await f.matched).toBe(false);
    expect((await readAll(f.stream)).toString()).toBe('no');
    f.stream.stop(0);
    f.stream.reset(0);
    f.app.destroy();
  });

  it('resets the application when the stream is reset instead', async () => {
    await using f = await joined(async (stream) => {
      await header(stream);
      stream.stop(5);
      stream.reset(5);
    });
    const [error] = await once(f.app, 'error');
    expect(error).toMatchObject({ code: 'ECONNRESET' });
    expect(await f.matched).toBe(false);
  });
});
