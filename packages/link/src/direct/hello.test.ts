import type { QuicError, SendStream } from '@ztna/quic';
import { encodeFrame, encodePathHello, LIMITS, type PathHello } from '@ztna/wire';
import { beforeAll, expect, test } from 'vitest';
import { PathHellos } from './hello.ts';
import { sessionPair, type TestPair, TestPki } from './testing.ts';

let pki: TestPki;
beforeAll(async () => {
  pki = await TestPki.create();
});

const HELLO: PathHello = { nat: 'endpoint-independent', directAllowed: true, candidates: 3 };
const hello = (candidates: number) => encodeFrame(encodePathHello({ ...HELLO, candidates }));

test('both sides tell each other, as often as something changes', async () => {
  await using pair = await sessionPair(pki);
  const heard = { agent: listen(pair, 'agent'), connector: listen(pair, 'connector') };

  heard.agent.hellos.send(HELLO);
  heard.connector.hellos.send({ ...HELLO, nat: 'none' });
  heard.agent.hellos.send({ ...HELLO, directAllowed: false });

  await expect.poll(() => heard.connector.got).toEqual([HELLO, { ...HELLO, directAllowed: false }]);
  await expect.poll(() => heard.agent.got).toEqual([{ ...HELLO, nat: 'none' }]);
  expect(heard.agent.refused).toEqual([]);
});

test('one in pieces is one', async () => {
  await using pair = await sessionPair(pki);
  const { got } = listen(pair, 'connector');
  const stream = open(pair);
  for (const byte of hello(5)) await stream.write(Uint8Array.of(byte));
  await expect.poll(() => got).toEqual([{ ...HELLO, candidates: 5 }]);
});

test.each([
  ['bytes that are no message', encodeFrame(Uint8Array.of(0xff, 0xff))],
  ['a length over the limit', Uint8Array.of(0x7f, 0xff)],
  ['more candidates than there may be', hello(LIMITS.candidates + 1)],
])('%s are refused, and nothing after them is read', async (_what, bytes) => {
  await using pair = await sessionPair(pki);
  const { got, refused } = listen(pair, 'connector');
  const stream = open(pair);

  await stream.write(Buffer.concat([hello(1), bytes, hello(2)]));

  await expect.poll(() => refused).toEqual(['malformed']);
  expect(got).toEqual([{ ...HELLO, candidates: 1 }]);
  await expectStopped(stream);
  expect(pair.connector.inner.isClosed).toBe(false);
});

test('more in a minute than a side has reason for are refused', async () => {
  await using pair = await sessionPair(pki);
  const { got, refused } = listen(pair, 'connector');
  const stream = open(pair);
  const many = Array.from({ length: LIMITS.pathHellosPerMinute + 1 }, (_, i) => hello(i % 8));

  await stream.write(Buffer.concat(many));

  await expect.poll(() => refused).toEqual(['too-many']);
  expect(got).toHaveLength(LIMITS.pathHellosPerMinute);
  await expectStopped(stream);
});

test('a second stream waits for room that it does not get, and is refused once the first has ended', async () => {
  await using pair = await sessionPair(pki);
  const { got, refused } = listen(pair, 'connector');
  const [first, second] = [open(pair), pair.agent.inner.openUni()];
  await first.write(hello(1));
  await expect.poll(() => got).toHaveLength(1);
  void second.write(hello(2)).catch(() => undefined);

  await first.finish();

  await expect.poll(() => refused).toEqual(['second-stream']);
  expect(got).toHaveLength(1);
});

test('nothing is said on a connection that has ended', async () => {
  await using pair = await sessionPair(pki);
  const { hellos } = listen(pair, 'agent');
  pair.agent.inner.close();
  await pair.agent.inner.closed;
  expect(() => hellos.send(HELLO)).not.toThrow();
});

/** Accepts the inner connection on this side and listens. */
function listen(pair: TestPair, side: 'agent' | 'connector') {
  const got: PathHello[] = [];
  const refused: string[] = [];
  const hellos = new PathHellos(pair[side].inner, {
    onHello: (hello) => void got.push(hello),
    onRefused: (cause) => void refused.push(cause),
  });
  pair[side].inner.accept();
  return { hellos, got, refused };
}

function open(pair: TestPair): SendStream {
  pair.agent.inner.accept();
  return pair.agent.inner.openUni();
}

/** The peer wants no more of the stream. */
async function expectStopped(stream: SendStream): Promise<void> {
  const write = async () => {
    await stream.write(hello(0));
    return undefined;
  };
  const failure = () => write().catch((error: QuicError) => error.code);
  await expect.poll(failure).toBe('ERR_CLOSED');
}
