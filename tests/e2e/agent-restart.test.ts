import { planForwards, startForwards } from '@ztna/agent';
import { expect, test } from 'vitest';
import { dial, endOf, readExactly } from './support/net.ts';
import { startStack } from './support/stack.ts';
import { Wire } from './support/wire.ts';

const listen = { host: '127.0.0.1', port: 0 };

test('an idle TCP flow goes on after the intermediate was restarted', async () => {
  await using stack = await startStack();
  const agent = await stack.startAgent();
  const { open } = startForwards(
    agent,
    planForwards({ service: 'echo', port: 7, listen }, agent.services(), 'tcp'),
    'test',
  );
  const socket = await dial(open[0]?.listen ?? '');
  socket.write('before');
  expect((await readExactly(socket, 6)).toString()).toBe('before');
  const [session] = (await agent.status()).sessions;

  await stack.stopIntermediate();
  await expect.poll(() => agent.connected, { timeout: 20_000 }).toBe(false);
  expect((await agent.status()).problems).toEqual([
    {
      code: 'connecting',
      message: expect.stringMatching(
        /^the connection to intermediate relay was lost at \S+Z \(peer: going-away: .*\): connecting to relay$/,
      ),
    },
  ]);
  await stack.restartIntermediate();

  socket.write('after');
  expect((await readExactly(socket, 5)).toString()).toBe('after');
  expect((await agent.status()).sessions.map((s) => s.session)).toEqual([session?.session]);
  expect(agent.observer.counters()['session_attached.ok']).toBe(1);
  const warnings = stack.logs.warnings('agent').filter(({ msg }) => !msg.includes('no intermediate'));
  expect(warnings).toEqual([]);
  socket.destroy();
});

test('an agent that starts before its intermediate says so once and connects when it is there', async () => {
  await using stack = await startStack();
  await stack.stopIntermediate();
  const agent = await stack.startAgent({ openTimeoutMs: 1_000 });
  expect((await agent.status()).problems).toEqual([
    { code: 'connecting', message: 'no intermediate is connected yet: connecting to relay' },
  ]);
  const said = () =>
    stack.logs.warnings('agent').filter(({ msg }) => msg.includes('no intermediate can be reached'));
  await expect.poll(() => said().length, { timeout: 20_000 }).toBe(1);
  expect(said()[0]).toMatchObject({ code: 'not-listening', remedy: expect.stringContaining('start the') });
  expect((await agent.status()).problems).toMatchObject([{ code: 'not-listening' }]);
  const [web] = planForwards({ service: 'web', port: 80, listen }, agent.services(), 'tcp');
  if (!web) throw new Error('no service web');
  await expect(agent.openFlow(web)).rejects.toMatchObject({
    ...{ code: 'not-listening', remedy: expect.stringContaining('start the') },
  });
  await stack.restartIntermediate();
  await expect.poll(() => agent.connected, { timeout: 30_000 }).toBe(true);
  expect(said()).toHaveLength(1);
  await expect.poll(async () => (await agent.status()).healthy, { timeout: 5_000 }).toBe(true);
});

test('a connection in a session whose intermediate fell silent is told that, not that the connector is silent', async () => {
  await using stack = await startStack();
  using wire = await Wire.to(stack.intermediate.listen);
  stack.publish({ intermediates: [{ name: 'relay', addresses: [wire.address] }] });
  const agent = await stack.startAgent({ openTimeoutMs: 12_000 });
  const plans = planForwards({ service: 'echo', port: 7, listen }, agent.services(), 'tcp');
  const { open } = startForwards(agent, plans, 'test');
  const socket = await dial(open[0]?.listen ?? '');
  socket.write('before');
  expect((await readExactly(socket, 6)).toString()).toBe('before');

  wire.isDark = true;
  socket.on('error', () => {}); // at the end of its agent
  await endOf(await dial(open[0]?.listen ?? ''));

  const told = () => stack.logs.entries.find(({ event }) => event === 'flow.failed');
  await expect
    .poll(told)
    .toMatchObject({ code: 'udp-blocked', reason: expect.stringContaining('no answer over UDP') });
}, 60_000);

test('flows of a connector that went away are reset, and new ones are served when it is back', async () => {
  await using stack = await startStack();
  const agent = await stack.startAgent();
  const { open } = startForwards(
    agent,
    planForwards({ service: 'echo', port: 7, listen }, agent.services(), 'tcp'),
    'test',
  );
  const socket = await dial(open[0]?.listen ?? '');
  socket.write('x');
  await readExactly(socket, 1);
  const ended = endOf(socket);
  await stack.stopConnector();
  expect(await ended).toBe('ECONNRESET');

  await stack.restartConnector();
  const again = await dial(open[0]?.listen ?? '');
  again.write('y');
  expect((await readExactly(again, 1)).toString()).toBe('y');
  again.destroy();
});
