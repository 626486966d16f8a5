import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { type Connector, startConnector } from '@ztna/connector';
import { type Intermediate, startIntermediate } from '@ztna/intermediate';
import type { FlowRecord } from '@ztna/session';
import { encodeFlowDatagram } from '@ztna/wire';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type FlowOutcome, TestAgent } from './support/agent.ts';
import { bound, listenTcp } from './support/listen.ts';
import { Site, type Topology, testLog } from './support/site.ts';

let site: Site;
let intermediate: Intermediate;
let connector: Connector;
let agent: TestAgent;
let topology: Topology;
const logs = {
  intermediate: testLog('intermediate'),
  connector: testLog('connector'),
  agent: testLog('agent'),
};
const records: FlowRecord[] = [];
const cleanup = new AsyncDisposableStack();

beforeAll(async () => {
  site = cleanup.use(await Site.create());
  const echo = await listenTcp(cleanup);
  const refused = await closedPort();
  const udp = await listenUdp();
  const local = { allowLocal: true };
  topology = {
    intermediate: '127.0.0.1:1',
    services: [
      { name: 'echo', ports: [{ transport: 'tcp', port: 80, backend: echo, ...local }] },
      { name: 'broken', ports: [{ transport: 'tcp', port: 80, backend: refused, ...local }] },
      { name: 'inside', ports: [{ transport: 'tcp', port: 80, backend: echo }] },
      { name: 'dns', ports: [{ transport: 'udp', port: 53, backend: udp, ...local }] },
      { name: 'secret', ports: [{ transport: 'tcp', port: 80, backend: echo, ...local }] },
    ],
    granted: ['echo', 'broken', 'inside', 'dns'],
  };
  site.publish(topology);
  intermediate = await startIntermediate({ config: site.intermediate(), log: logs.intermediate.log });
  cleanup.defer(() => intermediate[Symbol.asyncDispose]());
  topology = { ...topology, intermediate: intermediate.listen };
  site.publish(topology);
  await intermediate.reload();
  const onRecord = (record: FlowRecord) => void records.push(record);
  connector = await startConnector({ config: site.connector(), log: logs.connector.log, onRecord });
  cleanup.use(connector);
  await connector.registered;
  agent = cleanup.use(new TestAgent(site.files('agent/laptop'), logs.agent.log));
});
afterAll(() => cleanup.disposeAsync());

describe('a session from agent to backend', () => {
  it('carries TCP both ways, half-close included', async () => {
    const flow = opened(await agent.flow('echo', 'tcp', 80));
    const sent = Buffer.alloc(300_000, 'x');
    await flow.stream.write(sent);
    await flow.stream.finish();
    expect(Buffer.compare(await readAll(flow.stream), sent)).toBe(0);
  });

  it('takes bytes and the end of the stream that come with FlowOpen', async () => {
    agent.early = { bytes: Buffer.from('early'), finish: true };
    const flow = opened(await agent.flow('echo', 'tcp', 80));
    agent.early = undefined;
    expect((await readAll(flow.stream)).toString()).toBe('early');
  });

  it('leaves a record of each flow', async () => {
    const flow = opened(await agent.flow('echo', 'tcp', 80));
    await flow.stream.write(Buffer.from('12345'));
    await flow.stream.finish();
    await readAll(flow.stream);
    await expect
      .poll(() => records.at(-1))
      .toMatchObject({
        service: 'echo',
        subject: 'alice',
        verdict: 'allowed',
        reason: 'finished',
        sent: 5,
        received: 5,
      });
  });

  it('carries UDP', async () => {
    const flow = opened(await agent.flow('dns', 'udp', 53));
    const payload = Buffer.from('ping');
    const datagram = encodeFlowDatagram({ type: 'whole', id: flow.flowId, payload });
    const answered = new Promise<Uint8Array>((resolve) => {
      flow.connection.onDatagrams = ([first]) => first && resolve(first);
    });
    expect(flow.connection.sendDatagram(datagram)).toBe(true);
    expect(Buffer.from(await answered)).toEqual(Buffer.from(datagram));
    await flow.stream.finish();
    await expect.poll(() => records.at(-1)).toMatchObject({ service: 'dns', sent: 4, received: 4 });
  });
});

describe('what is not allowed or not there', () => {
  it('a refused backend is seen as refused', async () => {
    expect(await agent.flow('broken', 'tcp', 80)).toMatchObject({
      ok: false,
      error: { code: 'backend-refused' },
    });
  });

  it('a loopback backend needs allowLocal', async () => {
    const outcome = await agent.flow('inside', 'tcp', 80);
    expect(outcome).toMatchObject({ ok: false, error: { code: 'backend-forbidden' } });
  });

  it('a port that the service does not have', async () => {
    expect(await agent.flow('echo', 'tcp', 81)).toMatchObject({
      ok: false,
      error: { code: 'unknown-service' },
    });
  });

  it('an unknown service, and one that exists but is not granted', async () => {
    for (const service of ['nowhere', 'secret']) {
      const outcome = await agent.flow(service, 'tcp');
      expect(outcome).toMatchObject({ ok: false, error: { code: 'unknown-service' } });
    }
  });

  it('an agent that forged its own snapshot is refused by the intermediate', async () => {
    await using stranger = new TestAgent(site.files('agent/stranger'), logs.agent.log);
    const { snapshot } = stranger.component;
    const { services } = agent.component.snapshot.content;
    stranger.give({ ...snapshot, content: { ...snapshot.content, services } });
    const outcome = await stranger.flow('echo', 'tcp', 80);
    expect(outcome).toMatchObject({ ok: false, error: { code: 'not-authorized' } });
  });

  it('an inner peer with another identity than the grant says is refused by the connector', async () => {
    const log = testLog('agent');
    await using impostor = new TestAgent(site.files('agent/laptop'), log.log);
    await using stranger = new TestAgent(site.files('agent/stranger'), log.log);
    const { tls } = stranger.component;
    impostor.beforeInner = () => impostor.endpoint.reload(tls);
    await impostor.flow('echo', 'tcp', 80).then((outcome) => expect(outcome.ok).toBe(false));
    expect(logs.connector.lines).toContainEqual(expect.objectContaining({ event: 'inner.wrong-identity' }));
  });

  it.each([
    ['that stops', 'session.ended', { code: 'going-away' }],
    ['that is gone without a word', 'session.lost', {}],
  ] as const)('the log of the connector tells a session of an agent %s as %s', async (how, event, fields) => {
    await using leaving = new TestAgent(site.files('agent/laptop'), testLog('agent').log);
    const before = logs.connector.lines.length;
    opened(await leaving.flow('echo', 'tcp', 80));
    const verdicts = () => logs.connector.lines.slice(before).filter(({ event }) => event === 'path.verdict');
    await expect
      .poll(verdicts)
      .toContainEqual(expect.objectContaining({ agent: leaving.component.identity.id }));
    if (how === 'that stops') await leaving[Symbol.asyncDispose]();
    else await leaving.endpoint.close();
    const ends = () =>
      logs.connector.lines
        .slice(before)
        .filter((line) => line.event === 'session.ended' || line.event === 'session.lost');
    await expect.poll(ends).toMatchObject([{ event, ...fields, agent: leaving.component.identity.id }]);
  });
});

describe('operations', () => {
  it('readiness and figures of the intermediate', async () => {
    const at = `http://${intermediate.ops}`;
    expect((await fetch(`${at}/readyz`)).status).toBe(200);
    const text = await (await fetch(`${at}/metrics`)).text();
    expect(figure(text, 'ztna_relay_datagrams')).toBeGreaterThan(100);
    expect(figure(text, 'ztna_relay_bytes')).toBeGreaterThan(300_000);
    expect(figure(text, 'ztna_sessions')).toBeGreaterThan(0);
    expect(figure(text, 'ztna_handshakes_total')).toBeGreaterThan(1);
  });

  it('revocation cuts the live session and its flows', async () => {
    const flow = opened(await agent.flow('echo', 'tcp', 80));
    await flow.stream.write(Buffer.from('still here'));
    expect(Buffer.from((await flow.stream.read()) ?? []).toString()).toBe('still here');
    site.publish({ ...topology, revoked: [agent.component.identity.id] });
    await Promise.all([connector.reload(), intermediate.reload()]);
    await expect
      .poll(() => records.at(-1))
      .toMatchObject({ service: 'echo', verdict: 'cut', reason: 'revoked' });
    expect(connector.stats().sessions).toBe(0);
    expect(intermediate.stats().sessions).toBe(0);
  });
});

function opened(outcome: FlowOutcome) {
  if (!outcome.ok) throw new Error(`${outcome.error.code}: ${outcome.error.message}`);
  return outcome;
}

async function readAll(stream: { read(): Promise<Uint8Array | null> }): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for (let chunk = await stream.read(); chunk; chunk = await stream.read()) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function figure(text: string, name: string): number {
  const line = text.split('\n').find((candidate) => candidate.startsWith(name));
  return Number(line?.split(' ').at(-1));
}

async function closedPort(): Promise<string> {
  const server = createServer();
  const address = await bound(server);
  server.close();
  await once(server, 'close');
  return address;
}

async function listenUdp(): Promise<string> {
  const socket = createSocket('udp4', (message, from) => socket.send(message, from.port, from.address));
  cleanup.defer(() => void socket.close());
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return `127.0.0.1:${socket.address().port}`;
}
