import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { type Agent, planForwards, startForwards } from '@ztna/agent';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { forwardStdio } from '../../apps/agent/src/forward/stdio.ts';
import { dial, endOf, exchange, readAll, readExactly, udpSocket } from './support/net.ts';
import { type Stack, startStack } from './support/stack.ts';

let stack: Stack;
let agent: Agent;
let ports: Map<string, string>;

beforeAll(async () => {
  stack = await startStack();
  agent = await stack.startAgent({ udpIdleTimeoutMs: 1000 });
  ports = forward(agent, 'web', 'echo', 'closed');
});
afterAll(() => stack[Symbol.asyncDispose]());

test('HTTP goes through', async () => {
  const response = await fetch(`http://${ports.get('web/tcp')}/health`, { headers: { connection: 'close' } });
  expect(response.status).toBe(200);
});

test('a megabyte comes back as it went', async () => {
  const sent = randomBytes(1 << 20);
  const socket = await dial(echo('tcp'));
  socket.end(sent);
  expect((await readAll(socket)).equals(sent)).toBe(true);
});

test('the service answers on after the program has ended its side', async () => {
  const socket = await dial(echo('tcp'));
  socket.write('one');
  expect((await readExactly(socket, 3)).toString()).toBe('one');
  socket.end('two');
  expect((await readAll(socket)).toString()).toBe('two');
});

test('200 connections at a time', async () => {
  const bodies = await Promise.all(
    Array.from({ length: 200 }, async (_, i) => {
      const socket = await dial(echo('tcp'));
      socket.end(`connection ${i}`);
      return (await readAll(socket)).toString();
    }),
  );
  expect(bodies).toEqual(Array.from({ length: 200 }, (_, i) => `connection ${i}`));
});

test('a refused backend is a reset for the program, and a warning that says so', async () => {
  const socket = await dial(ports.get('closed/tcp') ?? '');
  expect(await endOf(socket)).toBe('ECONNRESET');
  // The reset may overtake the answer that tells the reason.
  const warning = () => stack.logs.warnings('agent').find(({ service }) => service === 'closed');
  const expected = { code: 'backend-refused', reason: expect.stringContaining('closed') };
  await expect.poll(warning).toMatchObject(expected);
});

test('UDP goes through, also in datagrams larger than a packet', async () => {
  const socket = await udpSocket();
  for (const size of [0, 1, 1200, 8000]) {
    const payload = randomBytes(size);
    expect((await exchange(socket, payload, echo('udp'))).equals(payload)).toBe(true);
  }
  socket.close();
});

test('standard input and output are joined to a service', async () => {
  const input = new PassThrough();
  const output = new PassThrough();
  const target = { service: serviceName('echo'), transport: 'tcp', port: 7 } as const;
  const done = forwardStdio(agent, target, input, output);
  input.write('ping');
  expect((await once(output, 'data'))[0].toString()).toBe('ping');
  input.end();
  await done;
});

test('standard input and output hear why there is no service', async () => {
  const target = { service: serviceName('closed'), transport: 'tcp', port: 1 } as const;
  const failed = forwardStdio(agent, target, new PassThrough(), new PassThrough());
  await expect(failed).rejects.toMatchObject({ code: 'backend-refused' });
});

test('a service that is not granted is unknown', async () => {
  await expect(
    agent.openFlow({ service: serviceName('secret'), transport: 'tcp', port: 80 }),
  ).rejects.toMatchObject({
    code: 'unknown-service',
  });
});

test('the status tells the path of the session', async () => {
  const { connected, sessions } = await agent.status();
  expect(connected).toBe(true);
  expect(sessions).toHaveLength(1);
  expect(sessions[0]).toMatchObject({
    state: 'up',
    path: { path: 'relayed', reason: expect.stringMatching(/^(starting|no-candidates)$/) },
    connector: expect.stringContaining('lab/c1'),
  });
  expect(sessions[0]?.path?.mtu).toBeGreaterThanOrEqual(1200);
});

test('a port that is free for TCP alone is no port for a service with both', async () => {
  const { endpoint } = agent;
  const listenUdp = endpoint.listenUdp.bind(endpoint);
  const others: ReturnType<typeof listenUdp>[] = [];
  const spy = vi.spyOn(endpoint, 'listenUdp').mockImplementation((options) => {
    // Another program is there first, three times.
    if (others.length < 3) others.push(listenUdp(options));
    return listenUdp(options);
  });
  const both = forward(agent, 'echo');
  spy.mockRestore();

  expect(both.get('echo/udp')).toBe(both.get('echo/tcp'));
  expect(others.map(({ address }) => address)).not.toContain(both.get('echo/udp'));
  const socket = await dial(both.get('echo/tcp') ?? '');
  socket.end('one');
  expect((await readAll(socket)).toString()).toBe('one');
  for (const other of others) other.close();
});

test('nothing is left of the flows when they are over', async () => {
  await expect.poll(async () => (await agent.status()).flows, { timeout: 10_000 }).toBe(0);
  expect(agent.observer.counters()).toMatchObject({ 'udp_flow_ended.idle': 1 });
});

/** Forwards all ports of the services on free local ports; `name/transport` gives the address. */
function forward(of: Agent, ...services: string[]): Map<string, string> {
  const listen = { host: '127.0.0.1', port: 0 };
  const plans = services.flatMap((service) =>
    planForwards({ service, port: 0, listen }, of.services(), undefined),
  );
  const { open } = startForwards(of, plans, 'test');
  return new Map(open.map(({ service, transport, listen: bound }) => [`${service}/${transport}`, bound]));
}

function echo(transport: 'tcp' | 'udp'): string {
  return ports.get(`echo/${transport}`) ?? '';
}

function serviceName(name: string) {
  return name as Parameters<Agent['openFlow']>[0]['service'];
}
