import type { Connection, QuicStream } from '@ztna/quic';
import {
  decodeFlowResult,
  encodeFlowOpen,
  encodeFragment,
  encodeFrame,
  encodeVarint,
  type FlowId,
  type FlowOpen,
  Framer,
  flowPrefix,
  LIMITS,
  type ServiceName,
  type SubjectName,
  type TraceId,
} from '@ztna/wire';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Arena, startArena } from './support/arena.ts';

const PROTOCOL = 1;
const noise = (length: number) => Uint8Array.from({ length }, (_, i) => (i * 7919) & 0xff);

let arena: Arena;
let inner: Connection;
beforeAll(async () => {
  arena = await startArena();
  const outcome = await arena.agentOf(arena.mallory).flow('echo', 'tcp');
  if (!outcome.ok) throw new Error(outcome.error.message);
  inner = outcome.connection;
});
afterAll(() => arena[Symbol.asyncDispose]());

describe('a header that is none resets its stream and nothing else', () => {
  test.each<[string, Uint8Array, boolean]>([
    ['random bytes', encodeFrame(noise(2_000)), false],
    ['over the limit', encodeVarint(LIMITS.flowHeader + 1), false],
    ['a length in too many bytes', Uint8Array.of(0x40, 0x01, 0x00), false],
    ['truncated', Uint8Array.of(0x20, 0x0a), true],
    ['nothing', new Uint8Array(0), true],
  ])('%s', async (_, bytes, end) => {
    const counted = await arena.counting('connector');
    const stream = await inner.openBi();
    await stream.write(bytes);
    if (end) await stream.finish();
    await expect(stream.read()).rejects.toMatchObject({ code: 'ERR_STREAM_RESET', quicCode: PROTOCOL });
    expect(inner.isClosed).toBe(false);
    expect(refusals(await counted())).toEqual({ 'stream_refused/no-header': 1 });
    await arena.unharmed();
  });
});

describe('a flow that is not allowed is refused with a code', () => {
  test.each<[string, Partial<FlowOpen>, string]>([
    ['a service that is not granted', { service: 'secret' as ServiceName }, 'not-authorized'],
    ['a service of another connector', { service: 'spare' as ServiceName }, 'not-authorized'],
    [
      'a service granted by policy but not to this subject',
      { subject: 'alice' as SubjectName },
      'not-authorized',
    ],
    ['a port that the service has not', { port: 22 }, 'unknown-service'],
  ])('%s', async (_, change, code) => {
    const counted = await arena.counting('connector');
    const stream = await inner.openBi();
    await stream.write(head(change));
    expect(await answer(stream)).toMatchObject({ error: { code } });
    expect(refusals(await counted())).toEqual({ [`flow_refused/${code}`]: 1 });
    await arena.unharmed();
  });

  test('a service that the policy allows but the grant does not, after the time for a grant to come', async () => {
    const counted = await arena.counting('connector');
    const stream = await inner.openBi();
    await stream.write(head({ service: 'tar' as ServiceName, port: 9 }));
    expect(await answer(stream)).toMatchObject({ error: { code: 'not-authorized' } });
    expect(refusals(await counted())).toEqual({ 'flow_refused/not-authorized': 1 });
  });

  test('the flow id of another association', async () => {
    const counted = await arena.counting('connector');
    const udp = { protocol: 'udp', flowId: 9 as FlowId, port: 7 } as const;
    const [first, second] = [await inner.openBi(), await inner.openBi()];
    await first.write(head(udp));
    expect(await answer(first)).toEqual({});
    await second.write(head(udp));
    await expect(second.read()).rejects.toMatchObject({ quicCode: PROTOCOL });
    expect(refusals(await counted())).toEqual({ 'stream_refused/flow-id-in-use': 1 });
    await first.finish();
    await arena.unharmed();
  });
});

test('flows that are refused by the thousand are counted one by one, and fill no log', async () => {
  const counted = await arena.counting('connector');
  const logged = arena.stack.logs.entries.length;
  const refused = async () => {
    const stream = await inner.openBi();
    await stream.write(head({ service: 'secret' as ServiceName }));
    return answer(stream);
  };
  for (let batch = 0; batch < 10; batch++) {
    const answers = await Promise.all(Array.from({ length: 200 }, refused));
    for (const given of answers) expect(given).toMatchObject({ error: { code: 'not-authorized' } });
  }
  const counts = await counted();
  const lines = arena.stack.logs.entries
    .slice(logged)
    .filter(({ event, service }) => event === 'flow.ended' && service === 'secret');
  expect(refusals(counts)).toEqual({ 'flow_refused/not-authorized': 2_000 });
  expect(lines.length + (counts['log_left_out/flow.ended'] ?? 0)).toBe(2_000);
  // A minute may end while they come.
  expect(lines.length).toBeLessThanOrEqual(40);
  await arena.unharmed();
});

test('streams that never send their header are reset in time and hold up nobody', async () => {
  const counted = await arena.counting('connector');
  const streams = await Promise.all(Array.from({ length: 1_500 }, () => inner.openBi()));
  await Promise.all(streams.map((stream) => stream.write(Uint8Array.of(0x20))));
  await arena.unharmed();
  const codes = await Promise.all(streams.map(resetCode));
  // The first thousand waited for their header; the others were not even listened to.
  expect(codes.filter((code) => code === PROTOCOL)).toHaveLength(1_024);
  expect(codes.filter((code) => code === 9)).toHaveLength(476);
  expect(refusals(await counted())).toEqual({
    'stream_refused/no-header': 1_024,
    'stream_refused/limit': 476,
  });
  const stream = await inner.openBi();
  await stream.write(head({}));
  expect(await answer(stream)).toEqual({});
  stream.reset(0);
  await arena.unharmed();
});

test('datagrams of no flow, and pieces of nothing, are dropped; pieces of a flow are counted', async () => {
  const flowId = 77 as FlowId;
  const stream = await inner.openBi();
  await stream.write(head({ protocol: 'udp', flowId, port: 7 } as Partial<FlowOpen>));
  expect(await answer(stream)).toEqual({});
  const dropped = () => arena.metric('connector', 'ztna_quic_drops', 'flow_reassembly');
  const unclaimed = () => arena.metric('connector', 'ztna_unclaimed_datagrams_total');
  const [before, unclaimedBefore] = [await dropped(), await unclaimed()];
  for (let i = 0; i < 400; i++) {
    inner.sendDatagram(Buffer.concat([flowPrefix((1_000 + i) as FlowId).whole, noise(i)]));
    inner.sendDatagram(noise(i));
    const fragment = { packetId: i % 3, index: i % 128, last: i % 5 === 0, bytes: noise(1 + (i % 90)) };
    inner.sendDatagram(encodeFragment(flowPrefix(flowId), fragment));
  }
  await expect.poll(dropped).toBeGreaterThan(before);
  // Datagrams may be lost on the way: of 800, half.
  await expect.poll(unclaimed).toBeGreaterThan(unclaimedBefore + 400);
  await stream.finish();
  expect(inner.isClosed).toBe(false);
  await arena.unharmed();
});

/** What was refused, of what was counted. */
function refusals(counted: Record<string, number>): Record<string, number> {
  return Object.fromEntries(Object.entries(counted).filter(([key]) => key.includes('_refused/')));
}

function head(change: Partial<FlowOpen>): Uint8Array {
  const open = {
    ...({
      service: 'echo' as ServiceName,
      port: 7,
      subject: 'mallory' as SubjectName,
      protocol: 'tcp',
    } as const),
    traceId: 'ab'.repeat(16) as TraceId,
    ...change,
  };
  return encodeFrame(encodeFlowOpen(open as FlowOpen));
}

async function answer(stream: QuicStream) {
  const framer = new Framer(LIMITS.flowHeader);
  for (let chunk = await stream.read(); chunk; chunk = await stream.read()) {
    framer.push(chunk);
    const frame = framer.next();
    const result = frame.ok && frame.value ? decodeFlowResult(frame.value) : undefined;
    if (result) return result.ok ? result.value : result.error;
  }
  return 'the stream ended';
}

async function resetCode(stream: QuicStream): Promise<unknown> {
  return stream.read().then(
    () => 'data',
    (error) => error.quicCode,
  );
}
