import { createHash, randomBytes } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import type { QuicStream } from './index.ts';
import {
  connected,
  endpoint,
  joinByRules,
  makePki,
  next,
  nextConnection,
  prefix,
  readAll,
  relayed,
  type TestPki,
} from './testing.ts';

let pki: TestPki;
beforeAll(async () => {
  pki = await makePki();
});

const sha = (b: Uint8Array) => createHash('sha256').update(b).digest('hex');

describe('a forwarding rule', () => {
  it('passes datagrams with its prefix on with another, and none after removal', async () => {
    const relay = await endpoint(pki, 'intermediate/i');
    const left = await endpoint(pki, 'agent/a');
    const right = await endpoint(pki, 'connector/s/c');
    const [l, lr] = await connected(left, relay);
    const [r, rr] = await connected(right, relay);
    const { there } = joinByRules(relay, lr, rr);
    const got = next<Uint8Array[]>((f) => (r.onDatagrams = f));
    l.sendDatagram(Buffer.from([0x2e, 1, 5, 6, 7]));
    expect([...((await got)[0] ?? [])]).toEqual([0x2e, 2, 5, 6, 7]);
    expect(await there.stats()).toMatchObject({ forwarded: 1, bytes: 3 });
    const unmatched = next<Uint8Array[]>((f) => (lr.onDatagrams = f));
    there.remove();
    await relay.stats();
    l.sendDatagram(Buffer.from([0x2e, 1, 9]));
    expect([...((await unmatched)[0] ?? [])]).toEqual([0x2e, 1, 9]);
    expect(await there.stats()).toBeUndefined();
    await Promise.all([relay.close(), left.close(), right.close()]);
  });
});

describe('an inner connection over a relay', () => {
  it('shows both ends each other, not the relay', async () => {
    await using r = await relayed(pki);
    const [a, c] = r.inner;
    expect(Buffer.from(a.peerChain[0] as Uint8Array).includes('connector/s/c')).toBe(true);
    expect(Buffer.from(c.peerChain[0] as Uint8Array).includes('agent/a')).toBe(true);
    expect(c.virtualPath).toBe(r.connectorPath);
    expect((await a.paths())[0]?.kind).toBe('virtual');
  });

  for (const [name, outer] of [
    ['from the smallest first MTU', { initialMtu: 1200, maxMtu: 1452 }],
    ['on a link that never carries more than 1,232 bytes', { initialMtu: 1200, maxMtu: 1232 }],
    ['on a link that never carries more than 1,200 bytes', { initialMtu: 1200, maxMtu: 1200 }],
  ] as const) {
    it(`carries 8 MiB unchanged ${name}`, async () => {
      await using r = await relayed(pki, outer, { initialMtu: 1200, maxMtu: 1414 });
      const [a, c] = r.inner;
      const data = randomBytes(8 << 20);
      const incoming = next<QuicStream>((f) => (c.onBiStream = f));
      const out = a.openBi();
      const writing = out.write(data).then(() => out.finish());
      const got = await readAll(await incoming);
      await writing;
      expect(sha(got)).toBe(sha(data));
    });
  }

  it('finds the larger packets that fit into the outer ones', async () => {
    await using r = await relayed(
      pki,
      { initialMtu: 1200, maxMtu: 1452 },
      { initialMtu: 1200, maxMtu: 1414 },
    );
    const [a, c] = r.inner;
    const incoming = next<QuicStream>((f) => (c.onBiStream = f));
    const out = a.openBi();
    const writing = out.write(Buffer.alloc(16 << 20)).then(() => out.finish());
    await readAll(await incoming);
    await writing;
    expect((await a.paths())[0]?.mtu).toBeGreaterThan(1350);
  });

  it('goes on when the relay is replaced under it', async () => {
    await using r = await relayed(pki, { idleTimeoutMs: 5_000 }, { idleTimeoutMs: 60_000 });
    const [a, c] = r.inner;
    const incoming = next<QuicStream>((f) => (c.onBiStream = f));
    const out = a.openBi();
    await out.write(Buffer.from('before '));
    const stream = await incoming;
    expect(Buffer.from((await stream.read()) ?? []).toString()).toBe('before ');
    await r.relay.close();
    await Promise.all([r.agentOuter.closed, r.connectorOuter.closed]);
    await out.write(Buffer.from('during '));
    const second = await endpoint(pki, 'intermediate/j');
    const accepted1 = nextConnection(second);
    const agentOuter = await r.agent.connect({ remote: second.localAddress, alpn: ['test/1'] });
    agentOuter.accept();
    const relayAgent = await accepted1;
    const [connectorOuter, relayConnector] = await connected(r.connector, second);
    joinByRules(second, relayAgent, relayConnector);
    r.connectorPath.rebind({ carrier: connectorOuter, send: prefix(2), receive: prefix(2) });
    r.agentPath.rebind({ carrier: agentOuter, send: prefix(1), receive: prefix(1) });
    a.ping();
    await out.write(Buffer.from('after'));
    await out.finish();
    expect((await readAll(stream)).toString()).toBe('during after');
    await second.close();
  });
});
