import { pcp, SimulatedGateway } from '@ztna/portmap/testing';
import type { QuicStream } from '@ztna/quic';
import type { CountOutput, PathPolicy, PathVerdict } from '@ztna/session';
import type { SessionUid } from '@ztna/wire';
import { beforeAll, describe, expect, test } from 'vitest';
import { coreClock } from '../clock.ts';
import { DirectPaths, type DirectSettings } from './direct-paths.ts';
import type { PortMappingOptions } from './port-mapping.ts';
import { next, SETTINGS, sessionPair, type TestPair, TestPki, testLog } from './testing.ts';

const UID = 'ab'.repeat(16) as SessionUid;
const ALLOW: PathPolicy = { direct: 'allow', showPrivateAddresses: true };
const DENY: PathPolicy = { ...ALLOW, direct: 'deny' };
const REQUIRE: PathPolicy = { ...ALLOW, direct: 'require' };

let pki: TestPki;
beforeAll(async () => {
  pki = await TestPki.create();
});

describe('a session', () => {
  test('becomes direct by itself, says so, and carries its data there', async () => {
    await using s = await session();
    s.start(ALLOW, ALLOW);
    await s.isDirect();

    expect(s.agent.verdict()).toMatchObject({ remote: s.pair.connector.endpoint.localAddress });
    expect(s.connector.verdict()).toMatchObject({ remote: s.pair.agent.endpoint.localAddress });
    expect([s.agent.direct, s.connector.direct]).toEqual([[true], [true]]);
    const before = await s.pair.relayed();
    await transfer(s.pair);
    expect((await s.pair.relayed()) - before).toBeLessThan(100);
  });

  test('says at info how it travels, not that it only begins', async () => {
    await using s = await session();
    s.start(ALLOW, ALLOW);
    await s.isDirect();

    const told = [s.agent, s.connector].flatMap(({ lines }) =>
      lines.filter(({ event }) => event === 'path.verdict'),
    );
    const at = (level: string) => told.filter((line) => line.level === level).map(({ reason }) => reason);
    expect(at('debug')).toContain('starting');
    expect(at('info')).not.toContain('starting');
    expect(told.filter(({ level }) => level === 'info').map(({ path }) => path)).toContain('direct');
    // The bound of the log is of each agent, which may have any number of sessions.
    const ofConnector = told.filter((line) => s.connector.lines.includes(line));
    expect(ofConnector.every(({ agent }) => agent === 'laptop')).toBe(true);
  });

  test('has figures of its path once it was sampled', async () => {
    await using s = await session();
    s.start(ALLOW, ALLOW);
    await s.isDirect();
    await expect.poll(s.agent.verdict).toMatchObject({ rttMs: expect.any(Number), mtu: expect.any(Number) });
  });

  test('knows what the other side says of itself', async () => {
    await using s = await session();
    s.agent.paths.setObserved('spiffe://i', s.pair.agent.endpoint.localAddress);
    s.start(ALLOW, ALLOW);
    // Nothing is said twice within 3 s.
    await expect.poll(() => s.connector.verdict()?.nat, { timeout: 10_000 }).toMatchObject({ peer: 'none' });
  });

  test('stays on the relay where either side denies, and both know why', async () => {
    await using s = await session();
    s.start(DENY, ALLOW);
    await expect.poll(s.connector.verdict).toMatchObject({ path: 'relayed', reason: 'peer-policy' });
    expect(s.agent.verdict()).toMatchObject({ path: 'relayed', reason: 'policy' });
    await transfer(s.pair);
    expect(await s.pair.agent.inner.paths()).toHaveLength(1);
    expect([...s.agent.direct, ...s.connector.direct]).toEqual([]);
  });

  test.each(['agent', 'connector'] as const)(
    'leaves its direct path when the %s denies, and may come back',
    async (side) => {
      await using s = await session();
      s.start(ALLOW, ALLOW);
      await s.isDirect();

      s[side].setPolicy(DENY);

      const other = side === 'agent' ? s.connector : s.agent;
      await expect.poll(s[side].verdict).toMatchObject({ path: 'relayed', reason: 'policy' });
      await expect.poll(other.verdict).toMatchObject({ path: 'relayed' });
      for (const { inner } of [s.pair.agent, s.pair.connector]) {
        await expect.poll(async () => (await inner.paths()).length).toBe(1);
      }
      await transfer(s.pair);
      // Whatever the other side asks for, the engine holds back.
      if (side === 'connector') s.pair.agent.inner.setCandidates([s.pair.agent.endpoint.localAddress]);
      s.pair.agent.inner.probe();
      const heldBack = async () => (await s.pair.connector.endpoint.stats()).drops.direct_off ?? 0;
      if (side === 'connector') await expect.poll(heldBack).toBeGreaterThan(0);
      await transfer(s.pair);
      expect(await s.pair.connector.inner.paths()).toHaveLength(1);

      s[side].setPolicy(ALLOW);
      await expect.poll(s[side].verdict, { timeout: 20_000 }).toMatchObject({ path: 'direct' });
    },
    30_000,
  );

  test('neither sends nor hears on an interface that a side left out, whatever either shows', async () => {
    await using s = await session({ connector: { interfaces: { allow: ['*'], deny: ['lo*'] } } });
    s.start(ALLOW, ALLOW);
    const { agent, connector } = s.pair;
    const drops = async (name: string) => (await connector.endpoint.stats()).drops[name] ?? 0;
    connector.inner.setCandidates([connector.endpoint.localAddress]);
    agent.inner.setCandidates([agent.endpoint.localAddress]);
    await expect.poll(() => agent.inner.candidates).toEqual([connector.endpoint.localAddress]);
    agent.inner.probe();
    await expect.poll(() => drops('direct_refused')).toBeGreaterThan(0);
    await expect.poll(() => drops('direct_refused_received')).toBeGreaterThan(0);
    await transfer(s.pair);
    expect(await connector.inner.paths()).toHaveLength(1);
  });

  test('waits for a direct path where the policy requires one', async () => {
    await using s = await session({ connector: { enabled: false } });
    s.start(REQUIRE, ALLOW);
    await expect.poll(s.agent.verdict).toMatchObject({ path: 'waiting', reason: 'peer-policy' });
    expect(s.agent.direct).toEqual([]);
    expect(s.connector.verdict()).toMatchObject({ path: 'relayed', reason: 'disabled' });
  });

  test('goes on without its carrier, and takes another one', async () => {
    await using s = await session();
    s.start(ALLOW, ALLOW);
    await s.isDirect();
    s.pair.agent.carrier.close();
    s.pair.connector.carrier.close();
    await Promise.all([s.pair.agent.carrier.closed, s.pair.connector.carrier.closed]);
    await transfer(s.pair);
    expect(s.agent.verdict()).toMatchObject({ path: 'direct' });

    for (const side of ['agent', 'connector'] as const) {
      s[side].paths.setCarrier(UID, await s.pair[side].rebind());
    }
    s.agent.setPolicy(DENY);
    await expect.poll(s.agent.verdict).toMatchObject({ path: 'relayed', reason: 'policy' });
    const before = await s.pair.relayed();
    await transfer(s.pair);
    expect((await s.pair.relayed()) - before).toBeGreaterThan(500);
  });

  test('counts as answering as long as it has a direct path', async () => {
    await using s = await session();
    s.start(ALLOW, ALLOW);
    expect(await s.agent.paths.answering()).toBe(0);
    await s.isDirect();
    expect(await s.agent.paths.answering()).toBe(1);
    await s.pair.connector.endpoint.close();
    await expect.poll(() => s.agent.paths.answering(), { timeout: 20_000 }).toBe(0);
  });

  test('without carrier and without direct path has none, and gets the relay back', async () => {
    await using s = await session();
    s.start(DENY, DENY);
    s.pair.agent.carrier.close();
    await expect.poll(s.agent.verdict).toMatchObject({ path: 'none', reason: 'no-path' });
    s.agent.paths.setCarrier(UID, await s.pair.agent.rebind());
    await expect.poll(s.agent.verdict).toMatchObject({ path: 'relayed' });
    await transfer(s.pair);
  });

  test('shows the address that a gateway maps to the socket, and withdraws it at the end', async () => {
    await using gateway = await SimulatedGateway.start({ control: pcp() });
    await using pair = await sessionPair(pki);
    const connector = side(pair, 'connector', { portMapping: true }, gatewayAt(gateway));
    const shown: (readonly string[])[] = [];
    pair.agent.inner.onCandidates = (addresses) => void shown.push(addresses);
    pair.agent.inner.accept();
    pair.connector.inner.accept();
    expect(connector.paths.portMapping()).toEqual({ state: 'idle', asked: [] });

    connector.setPolicy(ALLOW);

    const own = pair.connector.endpoint.localAddress;
    const external = own.replace('127.0.0.1', '203.0.113.5');
    await expect.poll(() => shown.at(-1)).toEqual([own, external]);
    expect(connector.paths.portMapping()).toMatchObject({
      ...{ state: 'mapped', gateway: '127.0.0.2', asked: [{ protocol: 'pcp', outcome: 'mapped' }] },
      ...{ external, protocol: 'pcp', behindAnotherNat: false },
    });
    await connector.paths[Symbol.asyncDispose]();
    expect(gateway.requests.at(-1)?.readUInt32BE(4)).toBe(0); // lifetime: deleted
    expect(connector.paths.portMapping().state).toBe('closed');
  });

  test('does not show an address that is behind another NAT', async () => {
    await using gateway = await SimulatedGateway.start({ control: pcp({ external: [10, 9, 8, 7] }) });
    await using pair = await sessionPair(pki);
    const connector = side(pair, 'connector', { portMapping: true }, gatewayAt(gateway));
    const shown: (readonly string[])[] = [];
    pair.agent.inner.onCandidates = (addresses) => void shown.push(addresses);
    pair.agent.inner.accept();
    pair.connector.inner.accept();

    connector.setPolicy(ALLOW);

    await expect.poll(connector.paths.portMapping.bind(connector.paths)).toMatchObject({
      state: 'mapped',
      external: expect.stringMatching('10.9.8.7:'),
      behindAnotherNat: true,
    });
    // Something that is shown after it would have been.
    connector.paths.setObserved('spiffe://i', '127.0.0.9:7');
    const own = pair.connector.endpoint.localAddress;
    await expect.poll(() => shown.at(-1)).toEqual([own, '127.0.0.9:7']);
    expect(connector.lines.map(({ msg }) => msg)).toContainEqual(expect.stringMatching('behind another NAT'));
    await connector.paths[Symbol.asyncDispose]();
  });

  test('is forgotten when its connection ends', async () => {
    await using s = await session();
    s.start(ALLOW, ALLOW);
    s.pair.agent.inner.close();
    await expect.poll(s.agent.verdict).toBe(undefined);
    await expect.poll(s.connector.verdict).toBe(undefined);
  });
});

describe('a connector whose site shows no private addresses', () => {
  test('neither shows nor keeps them, whatever else is decided, until the site does', async () => {
    await using pair = await sessionPair(pki);
    const { paths } = side(pair, 'connector');
    const shown: (readonly string[])[] = [];
    pair.agent.inner.onCandidates = (addresses) => void shown.push(addresses);
    pair.agent.inner.accept();
    pair.connector.inner.accept();
    const all = ['10.1.2.3:5', '127.0.0.1:9', '172.16.0.1:5', '192.168.0.1:5'];

    paths.allowPrivate(false);
    pair.connector.inner.setCandidates(all);
    await expect.poll(() => shown).toEqual([['127.0.0.1:9']]);
    paths.allowPrivate(true);
    pair.connector.inner.setCandidates(all);
    await expect.poll(() => shown.at(-1)).toHaveLength(4);
    paths.allowPrivate(false);
    await expect.poll(() => shown.at(-1)).toEqual(['127.0.0.1:9']);
    await paths[Symbol.asyncDispose]();
  });
});

describe('all sessions of a component', () => {
  test('ask another observer once one of them may be direct, and not before', async () => {
    await using s = await session();
    s.start(DENY, ALLOW);
    s.agent.paths.setObserved('spiffe://i', '127.0.0.9:1');
    expect(s.agent.asked()).toBe(0);
    s.agent.setPolicy(ALLOW);
    expect(s.agent.asked()).toBe(1);
    s.agent.setPolicy(REQUIRE);
    s.agent.paths.setObserved('spiffe://i', '127.0.0.9:1');
    expect(s.agent.asked()).toBe(1);
    s.agent.paths.setObserved('spiffe://i', '127.0.0.9:2');
    expect(s.agent.asked()).toBe(2);
    // With two connections to intermediates at first, there may have been nobody to ask.
    s.agent.paths.setObserved('spiffe://i', undefined);
    expect(s.agent.asked()).toBe(3);
  });

  test('are told how others see the socket, and that they agree', async () => {
    await using s = await session();
    s.start(DENY, DENY);
    s.agent.paths.setObserved('spiffe://i', '127.0.0.9:1');
    s.agent.paths.setSecondObserved('spiffe://j', '127.0.0.9:1');
    expect(s.agent.verdict()?.nat.own).toBe('endpoint-independent');
    s.agent.paths.setSecondObserved('spiffe://j', '127.0.0.9:2');
    expect(s.agent.verdict()?.nat.own).toBe('destination-dependent');
    s.agent.paths.setSecondObserved('spiffe://j', undefined);
    expect(s.agent.verdict()?.nat.own).toBe('unknown');
  });

  test('ask no gateway for a socket on loopback', async () => {
    await using s = await session({ agent: { portMapping: true } });
    s.start(ALLOW, ALLOW);
    expect(s.agent.paths.portMapping()).toMatchObject({
      state: 'off',
      detail: expect.stringMatching('loopback'),
    });
    expect(s.connector.paths.portMapping()).toMatchObject({
      ...{ state: 'off', detail: expect.stringMatching('direct.portMapping') },
    });
  });
});

interface Changes {
  readonly agent?: Partial<DirectSettings>;
  readonly connector?: Partial<DirectSettings>;
}

async function session(changes: Changes = {}) {
  const pair = await sessionPair(pki);
  const [agent, connector] = [side(pair, 'agent', changes.agent), side(pair, 'connector', changes.connector)];
  return {
    ...{ pair, agent, connector },
    start(agents: PathPolicy, connectors: PathPolicy) {
      agent.setPolicy(agents);
      connector.setPolicy(connectors);
      pair.agent.inner.accept();
      pair.connector.inner.accept();
    },
    async isDirect() {
      await expect.poll(agent.verdict, { timeout: 20_000 }).toMatchObject({ path: 'direct' });
      await expect.poll(connector.verdict).toMatchObject({ path: 'direct' });
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([agent.paths, connector.paths].map((paths) => paths[Symbol.asyncDispose]()));
      await pair[Symbol.asyncDispose]();
    },
  };
}

function gatewayAt({ address, ports }: SimulatedGateway): PortMappingOptions['test'] {
  return { gateway: async () => ({ address }), test: { ports, announcePort: 0 } };
}

function side(
  pair: TestPair,
  side: 'agent' | 'connector',
  changes: Partial<DirectSettings> = {},
  portMapping?: PortMappingOptions['test'],
) {
  const { endpoint, inner, carrier } = pair[side];
  const { log, lines } = testLog();
  const outputs: CountOutput[] = [];
  const direct: boolean[] = [];
  let asked = 0;
  const paths = new DirectPaths({
    ...{ side, endpoint, settings: { ...SETTINGS, ...changes }, clock: coreClock(), log },
    ...(portMapping && { portMapping }),
    ...(side === 'connector' && { agentOf: () => 'laptop' }),
    observe: (output) => void outputs.push(output),
    onDirect: (_session, inUse) => void direct.push(inUse),
    askSecondObserver: () => void asked++,
  });
  const named = (metric: string) => outputs.filter((o) => o.type === 'count' && o.metric === metric);
  return {
    ...{ paths, direct, lines, asked: () => asked, count: (metric: string) => named(metric).length },
    setPolicy: (policy: PathPolicy) => paths.setPolicy(UID, policy, inner, carrier),
    verdict: (): PathVerdict | undefined => paths.verdict(UID),
  };
}

const ONE_MEGABYTE = 1 << 20;

async function transfer({ agent, connector }: TestPair): Promise<void> {
  const incoming = next<QuicStream>((f) => (connector.inner.onBiStream = f));
  const out = agent.inner.openBi();
  const writing = out.write(Buffer.alloc(ONE_MEGABYTE)).then(() => out.finish());
  const stream = await incoming;
  let length = 0;
  for (let chunk = await stream.read(); chunk !== null; chunk = await stream.read()) length += chunk.length;
  expect(length).toBe(ONE_MEGABYTE);
  await writing;
  stream.reset(0);
}
