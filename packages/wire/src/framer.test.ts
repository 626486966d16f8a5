import { expect, test } from 'vitest';
import { encodeFrame, Framer } from './framer.ts';

const message = Uint8Array.of(1, 2, 3);

test('what follows a header is left for the caller', () => {
  const framer = new Framer(10);
  framer.push(Uint8Array.of(...encodeFrame(message), 9, 9, 9));
  expect(framer.next()).toEqual({ ok: true, value: message });
  expect(framer.takeRest()).toEqual(Uint8Array.of(9, 9, 9));
  expect(framer.buffered).toBe(0);
});

test('a message of the limit passes, one byte more is refused before it arrives', () => {
  const framer = new Framer(3);
  framer.push(encodeFrame(message));
  expect(framer.next()).toEqual({ ok: true, value: message });
  framer.push(Uint8Array.of(4));
  expect(framer.next()).toMatchObject({ ok: false, error: { kind: 'too-large' } });
});

test('an error stays: nothing after it is understood or kept', () => {
  const framer = new Framer(3);
  framer.push(Uint8Array.of(4));
  framer.next();
  framer.push(encodeFrame(message));
  expect(framer.next()).toMatchObject({ ok: false, error: { kind: 'too-large' } });
  expect(framer.finish()).toMatchObject({ ok: false });
  expect(framer.buffered).toBe(0);
});

test('a stream that ends inside a message is truncated', () => {
  const framer = new Framer(10);
  framer.push(Uint8Array.of(3, 1));
  expect(framer.next()).toEqual({ ok: true, value: undefined });
  expect(framer.finish()).toMatchObject({ ok: false, error: { kind: 'truncated' } });
});

test('messages own their memory', () => {
  const framer = new Framer(10);
  const chunk = encodeFrame(message);
  framer.push(chunk);
  chunk.fill(0);
  expect(framer.next()).toEqual({ ok: true, value: message });
});
