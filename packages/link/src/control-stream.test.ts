import type { QuicStream } from '@ztna/quic';
import {
  type ControlMessage,
  decodeControlMessage,
  encodeControlMessage,
  encodeFrame,
  Framer,
  LIMITS,
} from '@ztna/wire';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { ControlStream } from './control-stream.ts';

const goodbye = (reason: string): ControlMessage => ({ type: 'goodbye', reason });
const framed = (message: ControlMessage) => encodeFrame(encodeControlMessage(message));

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

it('delivers messages in order, however they are cut', async () => {
  const { peer, heard } = start();
  const bytes = Buffer.concat([framed(goodbye('one')), framed(goodbye('two'))]);
  for (const byte of bytes) peer.gives(Uint8Array.of(byte));
  peer.gives(null);
  await settle();
  expect(heard).toEqual(['goodbye one', 'goodbye two', 'end: the peer ended the control stream']);
});

it('answers a message of a later version and goes on', async () => {
  const { peer, heard } = start();
  peer.gives(encodeFrame(Uint8Array.of(0xfa, 0x01, 0x00))); // field 31, empty
  peer.gives(framed(goodbye('after')));
  await settle();
  expect(heard).toEqual(['malformed: unknown message 31', 'goodbye after']);
});

it.each([
  ['a message that is no protobuf', encodeFrame(Uint8Array.of(0xff, 0xff))],
  ['a length over the limit', Uint8Array.of(0x80, 0x01, 0x00, 0x01)],
  ['a length that takes more bytes than it needs', Uint8Array.of(0x40, 0x01, 0x00)],
])('reads no further after %s', async (_what, bytes) => {
  const { peer, heard } = start();
  peer.gives(Buffer.concat([bytes, framed(goodbye('never'))]));
  await settle();
  expect(heard).toEqual([expect.stringMatching(/^fatal: /), 'end: the control stream cannot be understood']);
});

it('a stream that ends inside a message is malformed', async () => {
  const { peer, heard } = start();
  peer.gives(framed(goodbye('half')).subarray(0, 4));
  peer.gives(null);
  await settle();
  expect(heard[0]).toMatch(/^fatal: .*truncated/);
});

it('says no more once it was told to finish: who ends the connection has a reason to give', async () => {
  const { peer, heard, control } = start((fatal) => fatal && void control.finish());
  peer.gives(Buffer.concat([Uint8Array.of(0x80, 0x01, 0x00, 0x01), framed(goodbye('never'))]));
  await settle();
  expect(heard).toEqual([expect.stringMatching(/^fatal: /)]);
});

it('a message that has begun must be whole in time', async () => {
  const { peer, heard } = start();
  peer.gives(framed(goodbye('slow')).subarray(0, 4));
  await vi.advanceTimersByTimeAsync(9_999);
  expect(heard).toEqual([]);
  await vi.advanceTimersByTimeAsync(1);
  expect(heard).toEqual(['fatal: a message did not come whole in time']);
});

it('a message that comes byte by byte has no longer, and the one behind it has its own time', async () => {
  const { peer, heard } = start();
  const [first, second] = [framed(goodbye('one')), framed(goodbye('slow'))];
  peer.gives(first.subarray(0, 4));
  await vi.advanceTimersByTimeAsync(9_000);
  peer.gives(Buffer.concat([first.subarray(4), second.subarray(0, 1)]));
  for (const byte of second.subarray(1, 4)) {
    await vi.advanceTimersByTimeAsync(3_000);
    peer.gives(Uint8Array.of(byte));
  }
  await settle();
  expect(heard).toEqual(['goodbye one']);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(heard).toEqual(['goodbye one', 'fatal: a message did not come whole in time']);
});

it('takes no more for a peer that does not read than a bounded queue', async () => {
  const { control, peer } = start();
  peer.blocks();
  const big: ControlMessage = { type: 'goodbye', reason: 'x'.repeat(LIMITS.text) };
  let taken = 0;
  while (control.send(big)) taken++;
  expect(taken).toBeGreaterThan(900);
  expect(taken).toBeLessThan(1_100);
});

it('writes one after another and finishes behind the last', async () => {
  const { control, peer } = start();
  control.send(goodbye('one'));
  control.send(goodbye('two'));
  await control.finish();
  expect(peer.got()).toEqual(['one', 'two']);
  expect(peer.finished).toBe(true);
});

function start(onMalformed: (fatal: boolean) => void = () => {}) {
  const heard: string[] = [];
  const peer = new FakeStream();
  const control = new ControlStream(peer as unknown as QuicStream, {
    onMessage: (message) => heard.push(`${message.type} ${'reason' in message ? message.reason : ''}`),
    onMalformed: (reason, fatal) => {
      heard.push(`${fatal ? 'fatal' : 'malformed'}: ${reason}`);
      onMalformed(fatal);
    },
    onEnd: (reason) => heard.push(`end: ${reason}`),
  });
  return { control, peer, heard };
}

/** Lets every promise that can go on do so. */
async function settle(): Promise<void> {
  await vi.advanceTimersByTimeAsync(0);
}

class FakeStream {
  finished = false;
  readonly #chunks: (Uint8Array | null)[] = [];
  #reader: ((chunk: Uint8Array | null) => void) | undefined;
  readonly #written: Uint8Array[] = [];
  #blocked = false;

  gives(chunk: Uint8Array | null): void {
    const reader = this.#reader;
    this.#reader = undefined;
    if (reader) reader(chunk);
    else this.#chunks.push(chunk);
  }

  blocks(): void {
    this.#blocked = true;
  }

  got(): string[] {
    const framer = new Framer(LIMITS.controlMessage);
    framer.push(Buffer.concat(this.#written));
    const reasons: string[] = [];
    for (let frame = framer.next(); frame.ok && frame.value; frame = framer.next()) {
      const message = decodeControlMessage(frame.value);
      reasons.push(message.ok && message.value.type === 'goodbye' ? message.value.reason : 'other');
    }
    return reasons;
  }

  read(): Promise<Uint8Array | null> {
    const chunk = this.#chunks.shift();
    if (chunk !== undefined) return Promise.resolve(chunk);
    return new Promise((resolve) => {
      this.#reader = resolve;
    });
  }

  write(bytes: Uint8Array): Promise<void> {
    this.#written.push(bytes);
    return this.#blocked ? new Promise(() => {}) : Promise.resolve();
  }

  finish(): Promise<void> {
    this.finished = true;
    return Promise.resolve();
  }
}
