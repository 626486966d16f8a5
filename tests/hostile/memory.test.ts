import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { dial } from '../e2e/support/net.ts';
import type { Stack } from '../e2e/support/stack.ts';
import type { FlowOutcome, TestAgent } from '../system/support/agent.ts';
import { type Arena, startArena } from './support/arena.ts';
import { Child } from './support/child.ts';

const MiB = 1024 * 1024;
/** Read ahead of a reader that does not read, per stream and direction (native/quic/src/engine/streams.rs). */
const READ_AHEAD = 256 * 1024;
/** Of one inner connection beside that: unread, more of it for unread streams, unacknowledged (options.rs, window.rs, configure.rs). */
const CONNECTION = 8 * MiB + 32 * MiB + 8 * MiB;

/** What an intermediate may grow by, whatever passes: nothing of a stream stays there. */
const RELAY = 32 * MiB;

let arena: Arena;
let connector: Child;
let intermediate: Child;
let mallory: TestAgent;
beforeAll(async () => {
  arena = await startArena({
    async prepare(stack) {
      const { listen } = stack.intermediate;
      await stack.stopConnector();
      await stack.stopIntermediate();
      intermediate = await Child.start('intermediate', '--config', intermediateConfig(stack, listen));
      connector = await Child.start('connector', '--config', connectorConfig(stack));
    },
  });
  mallory = arena.agentOf(arena.mallory);
});
afterAll(async () => {
  await connector[Symbol.asyncDispose]();
  await intermediate[Symbol.asyncDispose]();
  await arena[Symbol.asyncDispose]();
});

test('10,000 flows opened and dropped leave nothing behind', async () => {
  const flows = await connector.metric('ztna_flows');
  await churn(3_000);
  const before = connector.rss;
  const relaying = intermediate.rss;
  await churn(10_000);
  await expect.poll(() => connector.metric('ztna_pending_dials'), { timeout: 10_000 }).toBe(0);
  await expect.poll(() => connector.metric('ztna_flows'), { timeout: 10_000 }).toBe(flows);
  const growth = connector.rss - before;
  expect(growth).toBeLessThan(48 * MiB);
  expect(intermediate.rss - relaying).toBeLessThan(RELAY);
  await arena.unharmed();
});

test('readers that do not read cost a bounded amount, whatever is offered', async () => {
  const rest = await connector.metric('ztna_flows');
  const before = connector.rss;
  const relaying = intermediate.rss;
  const flows = [...(await open('tar', TAR)), ...(await open('echo', ECHO))];
  const chunk = Buffer.alloc(256 * 1024);
  const offer = async ({ stream }: Open) => {
    for (let i = 0; i < 32; i++) await stream.write(chunk);
  };
  for (const flow of flows) offer(flow).catch(() => {}); // cut off in the end
  await standstill(flows[0] as Open);
  const growth = connector.rss - before;
  // echo holds in both directions.
  expect(growth).toBeLessThan((TAR + 2 * ECHO) * READ_AHEAD + CONNECTION + 32 * MiB);
  // It holds no stream, only the queues of its connections, which are short.
  expect(intermediate.rss - relaying).toBeLessThan(RELAY);
  await arena.unharmed(); // leaves a UDP association, which ends by its idle timeout
  for (const { stream } of flows) {
    stream.stop(0);
    stream.reset(0);
  }
  await expect.poll(() => connector.metric('ztna_flows'), { timeout: 10_000 }).toBeLessThanOrEqual(rest + 1);
});

test('applications that do not read cost the agent a bounded amount, whatever the backend sends', async () => {
  const config = arena.stack.writeAgentConfig({
    stateDir: join(arena.stack.pki.dir, 'state', 'child', 'agent'),
  });
  await using agent = await Child.start('forward', '--config', config, '--map', 'spring=127.0.0.1:0');
  const address = agent.ready.forwards?.[0]?.listen ?? '';
  using sockets = new DisposableStack();
  const open = async (count: number) => {
    const opened = await Promise.all(Array.from({ length: count }, () => dial(address)));
    for (const socket of opened) sockets.defer(() => socket.destroy());
    return opened;
  };
  const [first] = await open(1);
  await once(first as Socket, 'readable'); // the session is up
  const before = agent.rss;
  const [relaying, serving] = [intermediate.rss, connector.rss];
  await open(SLOW);
  await relayStandstill();
  const growth = agent.rss - before;
  expect(growth).toBeLessThan(SLOW * READ_AHEAD + CONNECTION + 32 * MiB);
  expect(intermediate.rss - relaying).toBeLessThan(RELAY);
  expect(connector.rss - serving).toBeLessThan(SLOW * READ_AHEAD + CONNECTION + 32 * MiB);
  await arena.unharmed();
});

/** Flows whose application reads nothing. */
const SLOW = 60;

/** Flows to a backend that reads nothing, and to one that answers a client that reads nothing. */
const TAR = 40;
const ECHO = 20;

type Open = Extract<FlowOutcome, { ok: true }>;

async function open(service: string, count: number): Promise<Open[]> {
  const outcomes = await Promise.all(Array.from({ length: count }, () => mallory.flow(service, 'tcp')));
  return outcomes.map((outcome) => {
    if (!outcome.ok) throw new Error(outcome.error.message);
    return outcome;
  });
}

/** Every other flow is dropped before the connector has answered. */
async function churn(count: number): Promise<void> {
  for (let done = 0; done < count; done += 250) {
    const flows = await open('echo', 125);
    const [{ connection }] = flows as [Open];
    for (let i = 0; i < 125; i++) {
      const stream = await connection.openBi();
      stream.write(Uint8Array.of(0x20, 0x0a)).catch(() => {});
      stream.reset(0);
      stream.stop(0);
    }
    for (const { stream } of flows) {
      stream.reset(0);
      stream.stop(0);
    }
  }
}

/** Until flow control has stopped everything: nothing more is sent between two looks. */
async function standstill({ connection }: Open): Promise<void> {
  let last = -1;
  const sent = async () => {
    const packets = (await connection.stats())?.paths[0]?.sentPackets ?? 0;
    const moved = packets - last;
    last = packets;
    return moved;
  };
  await expect.poll(sent, { timeout: 20_000, interval: 500 }).toBeLessThan(20);
}

/** Until next to nothing is relayed any more. */
async function relayStandstill(): Promise<void> {
  let last = -1;
  const relayed = async () => {
    const bytes = await intermediate.metric('ztna_relay_bytes');
    const moved = bytes - last;
    last = bytes;
    return moved;
  };
  await expect.poll(relayed, { timeout: 20_000, interval: 500 }).toBeLessThan(16 * 1024);
}

function connectorConfig(stack: Stack): string {
  return configOf(stack, 'connector', 'lab/c1', {});
}

function intermediateConfig(stack: Stack, listen: string): string {
  const keys = { resetKeyFile: join(stack.pki.dir, 'reset.key'), serverId: '01' };
  return configOf(stack, 'intermediate', 'relay', { listen, keys });
}

function configOf({ pki: { dir } }: Stack, role: string, name: string, more: object): string {
  const issued = join(dir, 'pki', 'issued', role, name);
  const file = join(dir, `${role}.json`);
  const config = {
    identity: { certificateFile: join(issued, 'certificate.pem'), privateKeyFile: join(issued, 'key.pem') },
    trust: { bundleFile: join(issued, 'trust.pem') },
    snapshotFile: join(dir, 'snapshots', role, `${name}.snapshot`),
    stateDir: join(dir, 'state', 'child', role),
    metrics: { listen: '127.0.0.1:0' },
    log: { level: 'warn' },
    ...more,
  };
  writeFileSync(file, JSON.stringify(config));
  return file;
}
