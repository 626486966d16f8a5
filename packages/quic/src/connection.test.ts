import { beforeAll, describe, expect, it } from 'vitest';
import type { Connection, ConnectionEvent, QuicStream } from './index.ts';
import {
  connected,
  endpoint,
  makePki,
  next,
  nextConnection,
  OUTER,
  readAll,
  type TestPki,
} from './testing.ts';

let pki: TestPki;
beforeAll(async () => {
  pki = await makePki();
});

async function pair() {
  const client = await endpoint(pki, 'agent/a');
  const server = await endpoint(pki, 'intermediate/i');
  const [a, b] = await connected(client, server);
  const dispose = async () => void (await Promise.all([client.close(), server.close()]));
  return { client, server, a, b, [Symbol.asyncDispose]: dispose };
}

const nextStream = (c: Connection) => next<QuicStream>((f) => (c.onBiStream = f));

describe('a connection', () => {
  it('shows each side the chain of the other, leaf first', async () => {
    await using p = await pair();
    expect(p.a.peerChain.length).toBe(2);
    expect(p.b.peerChain.length).toBe(2);
    expect(Buffer.from(p.a.peerChain[0] as Uint8Array).includes('intermediate/i')).toBe(true);
    expect(Buffer.from(p.b.peerChain[0] as Uint8Array).includes('agent/a')).toBe(true);
    expect(p.a.alpn).toBe(OUTER);
    expect([p.a.side, p.b.side]).toEqual(['client', 'server']);
  });

  it('tells the other side why it was closed', async () => {
    await using p = await pair();
    p.a.close(42, 'done');
    expect(await p.b.closed).toEqual({ kind: 'peer', code: 42, reason: 'done' });
    expect((await p.a.closed).kind).toBe('local');
  });

  it('refuses streams after it was closed', async () => {
    await using p = await pair();
    p.a.close();
    await p.a.closed;
    expect(() => p.a.openBi()).toThrow(expect.objectContaining({ code: 'ERR_CLOSED' }));
  });

  it('leaves nobody waiting on its streams', async () => {
    await using p = await pair();
    const stream = p.a.openBi();
    const reading = stream.read();
    const spliced = stream.spliceDone;
    p.a.close();
    await expect(reading).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    expect((await spliced).reason).toBe('closed');
    await p.a.closed;
    await expect(stream.read()).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    await expect(stream.write(new Uint8Array(1))).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    expect((await stream.spliceDone).reason).toBe('closed');
  });

  it('carries a megabyte both ways on one stream', async () => {
    await using p = await pair();
    const sent = Buffer.alloc(1 << 20, 'x');
    const incoming = nextStream(p.b);
    const out = p.a.openBi();
    const written = out.write(sent).then(() => out.finish());
    const echo = await incoming;
    const got = await readAll(echo);
    await echo.write(got);
    await echo.finish();
    await written;
    expect((await readAll(out)).equals(sent)).toBe(true);
  });

  it('delivers nothing before it is accepted', async () => {
    const client = await endpoint(pki, 'agent/a');
    const server = await endpoint(pki, 'intermediate/i');
    const waiting = next<Connection>((f) => (server.onConnection = f));
    const a = await client.connect({ remote: server.localAddress, alpn: [OUTER] });
    a.accept();
    const b = await waiting;
    const seen: string[] = [];
    b.onBiStream = () => seen.push('stream');
    b.onDatagrams = () => seen.push('datagram');
    const stream = await a.openBi();
    await stream.write(Buffer.from('early'));
    a.sendDatagram(Buffer.from('early'));
    while (((await b.stats())?.datagrams.dropped.not_accepted ?? 0) === 0);
    expect(seen).toEqual([]);
    const late = next<QuicStream>((f) => (b.onBiStream = f));
    b.accept();
    expect(Buffer.from((await (await late).read()) ?? []).toString()).toBe('early');
    expect(seen).toEqual([]);
    await Promise.all([client.close(), server.close()]);
  });

  it('carries datagrams up to its limit and says when one is larger', async () => {
    await using p = await pair();
    const batch = next<Uint8Array[]>((f) => (p.b.onDatagrams = f));
    const size = p.a.maxDatagramSize;
    expect(p.a.sendDatagram(Buffer.alloc(size, 7))).toBe(true);
    expect((await batch)[0]?.length).toBe(size);
    expect(p.a.sendDatagram(Buffer.alloc(10_000))).toBe(false);
  });

  it('passes a reset with its code', async () => {
    await using p = await pair();
    const incoming = nextStream(p.b);
    const out = p.a.openBi();
    await out.write(Buffer.from('x'));
    const stream = await incoming;
    await stream.read();
    out.reset(7);
    await expect(stream.read()).rejects.toMatchObject({ code: 'ERR_STREAM_RESET', quicCode: 7 });
  });

  it('passes a stop with its code', async () => {
    await using p = await pair();
    const incoming = nextStream(p.b);
    const out = p.a.openBi();
    await out.write(Buffer.from('x'));
    (await incoming).stop(9);
    const fill = async () => {
      for (let i = 0; i < 1000; i += 1) await out.write(Buffer.alloc(1 << 20));
    };
    await expect(fill()).rejects.toMatchObject({ code: 'ERR_STREAM_STOPPED', quicCode: 9 });
  });

  it('holds back a sender whose reader does not read', async () => {
    await using p = await pair();
    const incoming = nextStream(p.b);
    const out = p.a.openBi();
    let written = 0;
    const writing = (async () => {
      for (let i = 0; i < 64; i += 1) {
        await out.write(Buffer.alloc(1 << 20, i));
        written += 1;
      }
      await out.finish();
    })();
    const stream = await incoming;
    await p.b.stats();
    expect(written).toBeLessThan(32);
    expect((await readAll(stream)).length).toBe(64 << 20);
    await writing;
  });

  it('learns its address from a server that tells it', async () => {
    const server = await endpoint(pki, 'intermediate/i', {
      server: { alpn: [OUTER], transport: { sendObservedAddress: true } },
    });
    const client = await endpoint(pki, 'agent/a');
    const options = { transport: { receiveObservedAddress: true } };
    const accepted = nextConnection(server);
    const a = await client.connect({ remote: server.localAddress, alpn: [OUTER], ...options });
    const event = next<ConnectionEvent>((f) => (a.onEvent = (e) => e.type === 'observed-address' && f(e)));
    a.accept();
    await accepted;
    expect(await event).toEqual({ type: 'observed-address', address: client.localAddress });
    expect(a.observedAddress).toBe(client.localAddress);
    await Promise.all([client.close(), server.close()]);
  });
});
