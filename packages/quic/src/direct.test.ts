import { beforeAll, describe, expect, it } from 'vitest';
import type { Connection, DirectOptions, PathEvent, QuicStream } from './index.ts';
import { endpoint, makePki, next, readAll, relayed, type TestPki } from './testing.ts';

/** A machine that is busy with other things is not a dead path. */
const LOOPBACK: DirectOptions = { allow: ['127.0.0.0/8'], minSilenceMs: 3_000 };
const MULTIPATH = { multipath: 8, idleTimeoutMs: 60_000 };
const ONE_MEGABYTE = 1 << 20;

let pki: TestPki;
beforeAll(async () => {
  pki = await makePki();
});

describe('a direct path', () => {
  it('is found by probing, rests on both sides, and carries what is sent once it is preferred', async () => {
    await using r = await relayed(pki, undefined, MULTIPATH, LOOPBACK);
    const { path, at } = await found(r);
    expect(at.agent).toMatchObject({ virtual: false, backup: true, remote: r.connector.localAddress });
    expect(at.connector).toMatchObject({ path, virtual: false, backup: true, remote: r.agent.localAddress });
    const [agent, connector] = r.inner;
    const followed = nextPath(connector, (e) => e.type === 'status' && e.path === 0 && e.backup);
    agent.setPathStatus(path, 'available');
    agent.setPathStatus(0, 'backup');
    await followed;
    const before = (await r.rules.there.stats())?.forwarded ?? 0;
    await transfer(agent, connector);
    expect(((await r.rules.there.stats())?.forwarded ?? 0) - before).toBeLessThan(100);
    const [first, second] = await agent.paths();
    expect(first).toMatchObject({ id: 0, kind: 'virtual', status: 'backup', dead: false });
    expect(second).toMatchObject({ id: path, kind: 'direct', status: 'available', local: '127.0.0.1' });
    expect(second?.minRttMs).toBeGreaterThan(0);
  });

  it('ends when a side turns direct paths off, and the relay goes on', async () => {
    await using r = await relayed(pki, undefined, MULTIPATH, LOOPBACK);
    const { path } = await found(r);
    const [agent, connector] = r.inner;
    const closed = [agent, connector].map((c) => nextPath(c, (e) => e.type === 'closed'));
    connector.setCandidates(undefined);
    expect(await Promise.all(closed)).toMatchObject([
      { path, reason: 'peer' },
      { path, reason: 'local' },
    ]);
    await transfer(agent, connector);
  });

  it('is not even tried where the endpoint has none', async () => {
    await using r = await relayed(pki, undefined, MULTIPATH);
    const [agent, connector] = r.inner;
    connector.setCandidates([r.connector.localAddress]);
    agent.setCandidates([r.agent.localAddress]);
    agent.probe();
    await expect(agent.openPath(r.connector.localAddress)).rejects.toThrow('may not lead there');
    await transfer(agent, connector);
    expect(await agent.paths()).toHaveLength(1);
  });

  it('survives the news that the network changed, as do all connections', async () => {
    await using r = await relayed(pki, undefined, MULTIPATH, LOOPBACK);
    const { path } = await found(r);
    for (const e of [r.agent, r.connector, r.relay]) e.networkChanged();
    await transfer(...r.inner);
    // A probe that was still on its way can open another path to the same place: noq forgot its local address.
    const living = (await r.inner[0].paths()).filter((p) => !p.dead).map((p) => p.id);
    expect(living).toEqual(expect.arrayContaining([0, path]));
  });
});

describe('candidates', () => {
  it('reach the client, those left out that may not be used', async () => {
    await using r = await relayed(pki, undefined, MULTIPATH, LOOPBACK);
    const [agent, connector] = r.inner;
    const told = next<readonly string[]>((f) => (agent.onCandidates = f));
    connector.setCandidates(['169.254.1.1:5', '127.0.0.1:1001', '[fe80::1]:7', '127.0.0.1:1002']);
    expect(await told).toEqual(['127.0.0.1:1001', '127.0.0.1:1002']);
  });

  for (const wrong of ['127.0.0.1', 'localhost:1', '[::1]', '']) {
    it(`are refused when they are no addresses: "${wrong}"`, async () => {
      await using r = await relayed(pki, undefined, MULTIPATH, LOOPBACK);
      expect(() => r.inner[0].setCandidates([wrong])).toThrow('is not an address');
    });
  }
});

describe('ranges for direct paths', () => {
  for (const wrong of ['10.0.0.0/33', 'everything', '::ffff:10.0.0.1']) {
    it(`are refused when they are none: "${wrong}"`, async () => {
      await expect(endpoint(pki, 'agent/a', { direct: { refuse: [wrong] } })).rejects.toThrow(wrong);
    });
  }
});

describe('ranges that change', () => {
  it('close the paths that they refuse, and the relay goes on', async () => {
    await using r = await relayed(pki, undefined, MULTIPATH, LOOPBACK);
    const { path } = await found(r);
    const [agent, connector] = r.inner;
    const closed = [agent, connector].map((c) => nextPath(c, (e) => e.type === 'closed'));
    r.connector.setDirectFilter({ allow: ['127.0.0.0/8'], refuse: ['127.0.0.0/8'] });
    expect(await Promise.all(closed)).toMatchObject([
      { path, reason: 'peer' },
      { path, reason: 'local' },
    ]);
    await transfer(agent, connector);
  });

  it('stay as they were when the new ones are none', async () => {
    await using r = await relayed(pki, undefined, MULTIPATH, LOOPBACK);
    expect(() => r.connector.setDirectFilter({ refuse: ['everything'] })).toThrow('everything');
    await found(r);
  });
});

type Pair = Awaited<ReturnType<typeof relayed>>;

/** Shows both sides' addresses and probes until there is a direct path. */
async function found(r: Pair) {
  const [agent, connector] = r.inner;
  const opened = [agent, connector].map((c) => nextPath(c, (e) => e.type === 'opened'));
  const told = next<readonly string[]>((f) => (agent.onCandidates = f));
  agent.setCandidates([r.agent.localAddress]);
  connector.setCandidates([r.connector.localAddress]);
  await told;
  agent.probe();
  const [atAgent, atConnector] = await Promise.all(opened);
  return { path: atAgent?.path ?? -1, at: { agent: atAgent, connector: atConnector } };
}

function nextPath(connection: Connection, wanted: (event: PathEvent) => boolean): Promise<PathEvent> {
  return new Promise((resolve) => {
    connection.onPath = (event) => {
      if (wanted(event)) resolve(event);
    };
  });
}

async function transfer(from: Connection, to: Connection): Promise<void> {
  const incoming = next<QuicStream>((f) => (to.onBiStream = f));
  const out = from.openBi();
  const writing = out.write(Buffer.alloc(ONE_MEGABYTE)).then(() => out.finish());
  expect(await readAll(await incoming)).toHaveLength(ONE_MEGABYTE);
  await writing;
}
