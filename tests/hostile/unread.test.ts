import type { Socket } from 'node:net';
import { planForwards, startForwards } from '@ztna/agent';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { dial } from '../e2e/support/net.ts';
import { type Arena, startArena } from './support/arena.ts';
import { type Backend, pour, standstill, startBackend } from './support/backend.ts';

const MiB = 1024 * 1024;
/** Window of a stream (native/quic/src/engine/options.rs). */
const STREAM = 2 * MiB;
/** Three times as many as fill the window of a connection. */
const FLOWS = 12;
const SOON = { timeout: 20_000, interval: 500 };

let arena: Arena;
let spring: Backend;
let tar: Backend;
const open = new Set<Socket>();
beforeAll(async () => {
  arena = await startArena();
  spring = await startBackend(pour);
  tar = await startBackend((socket) => void socket.pause());
  await arena.serve({ subjects: ['alice'] }, { download: spring, upload: tar });
  await arena.agent.reload();
});
afterEach(() => {
  for (const socket of open) socket.destroy();
  open.clear();
});
afterAll(async () => {
  spring[Symbol.dispose]();
  tar[Symbol.dispose]();
  await arena[Symbol.asyncDispose]();
});

test('downloads that a local program does not read do not hold up the other flows of its agent', async () => {
  const flows = await openFlows('download');
  await standstill(() => spring.sent(), FLOWS * STREAM);
  await arena.unharmed();
  const granted = async () => (await arena.agent.endpoint.stats()).unreadGranted;
  expect(await granted()).toBe((FLOWS - 1) * STREAM);
  for (const socket of flows) socket.resume();
  await moves(() => spring.sent());
});

test('uploads that a backend does not read do not hold up the other flows of their agent', async () => {
  const flows = await openFlows('upload');
  for (const socket of flows) pour(socket);
  await standstill(
    () => flows.reduce((sum, s) => sum + s.bytesWritten - s.writableLength, 0),
    FLOWS * STREAM,
  );
  await arena.unharmed();
  expect(await arena.metric('connector', 'ztna_quic_unread_bytes')).toBe((FLOWS - 1) * STREAM);
});

async function openFlows(service: string): Promise<Socket[]> {
  const listen = { host: '127.0.0.1', port: 0 };
  const plans = planForwards({ service, port: 0, listen }, arena.agent.services(), undefined);
  const address = startForwards(arena.agent, plans, 'test').open[0]?.listen ?? '';
  const sockets = await Promise.all(Array.from({ length: FLOWS }, () => dial(address)));
  for (const socket of sockets) open.add(socket.on('error', () => {}));
  return sockets;
}

async function moves(taken: () => number): Promise<void> {
  const before = taken();
  await expect.poll(taken, SOON).toBeGreaterThan(before + FLOWS * STREAM);
}
