import { afterAll, beforeAll, expect, test } from 'vitest';
import type { FlowOutcome, TestAgent } from '../system/support/agent.ts';
import { type Arena, startArena } from './support/arena.ts';
import { type Backend, pour, standstill, startBackend } from './support/backend.ts';

const MiB = 1024 * 1024;
const FLOWS = 30;
const SOON = { timeout: 10_000 };
/** Unread bytes, those of unread streams, and unacknowledged ones of one inner connection, as in the README. */
const CONNECTION = 8 * MiB + 32 * MiB + 8 * MiB;
const READ_AHEAD = 256 * 1024;
/** What the kernel takes of a socket that the connector does not read: its send and its receive buffer. */
const KERNEL = 10 * MiB;

let arena: Arena;
let spring: Backend;
let slam: Backend;
/** Beside the well-behaved one, whose flows must not notice. */
let mallory: TestAgent;
beforeAll(async () => {
  arena = await startArena();
  spring = await startBackend(pour);
  slam = await startBackend((socket) => socket.resetAndDestroy());
  await arena.serve({ agents: ['mallory'] }, { pour: spring, slam });
  mallory = arena.agentOf(arena.mallory);
});
afterAll(async () => {
  spring[Symbol.dispose]();
  slam[Symbol.dispose]();
  await arena[Symbol.asyncDispose]();
});

test('a backend that takes connections and never answers holds its own flows, and only as long as they are wanted', async () => {
  const rest = await openFlows();
  const flows = await open('tar');
  await expect.poll(openFlows, SOON).toBe(rest + FLOWS);
  await arena.unharmed();
  release(flows);
  // The check above leaves a UDP association.
  await expect.poll(openFlows, SOON).toBeLessThanOrEqual(rest + 1);
});

test('a backend that sends without end to somebody who does not read is held back', async () => {
  const rest = await openFlows();
  const flows = await open('pour');
  await standstill(() => spring.sent(), 0);
  expect(spring.sent()).toBeLessThan(CONNECTION + FLOWS * (READ_AHEAD + KERNEL));
  await arena.unharmed();
  release(flows);
  await expect.poll(openFlows, SOON).toBeLessThanOrEqual(rest + 1);
  await expect.poll(() => spring.open(), SOON).toBe(0);
});

test('a backend that resets at once ends each flow with a reset, is counted, and no other flow notices', async () => {
  const rest = await openFlows();
  const counted = await arena.counting('connector');
  const logged = arena.stack.logs.entries.length;
  const ends = await Promise.all(Array.from({ length: FLOWS }, () => endOf('slam')));
  // Before the dial is over, before the agent has read that the flow is open, or after.
  for (const end of ends) expect(end).toMatch(/^ERR_STREAM_RESET$|^backend-|reset the stream/);
  await expect.poll(openFlows, SOON).toBeLessThanOrEqual(rest);
  const count = await counted();
  const all = Object.entries(count).filter(
    ([key]) => key === 'flow/opened' || key.startsWith('flow_refused/'),
  );
  expect(all.reduce((sum, [, n]) => sum + n, 0)).toBe(FLOWS);
  const records = arena.stack.logs.entries
    .slice(logged)
    .filter(({ event, service }) => event === 'flow.ended' && service === 'slam');
  expect(records.length + (count['log_left_out/flow.ended'] ?? 0)).toBe(FLOWS);
  await arena.unharmed();
});

type Flow = Extract<FlowOutcome, { ok: true }>;

async function open(service: string): Promise<Flow[]> {
  const outcomes = await Promise.all(Array.from({ length: FLOWS }, () => mallory.flow(service, 'tcp')));
  return outcomes.map((outcome) => {
    if (!outcome.ok) throw new Error(outcome.error.message);
    return outcome;
  });
}

function release(flows: readonly Flow[]): void {
  for (const { stream } of flows) {
    stream.stop(0);
    stream.reset(0);
  }
}

/** How a flow ended, in words. */
async function endOf(service: string): Promise<string> {
  const outcome = await mallory.flow(service, 'tcp');
  if (!outcome.ok) return `${outcome.error.code} ${outcome.error.message}`;
  return outcome.stream.read().then(
    (data) => (data === undefined ? 'the end' : 'data'),
    (error) => error.code,
  );
}

function openFlows(): Promise<number> {
  return arena.metric('connector', 'ztna_flows{');
}
