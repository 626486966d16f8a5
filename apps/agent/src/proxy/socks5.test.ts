import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Parsed } from './parsed.ts';
import { encodeReply, parseGreeting, parseRequest, parseUdpHeader, REPLY } from './socks5.ts';

const bytes = (...parts: (number | string)[]) =>
  Uint8Array.from(parts.flatMap((p) => (typeof p === 'number' ? [p] : [...Buffer.from(p)])));
const name = (text: string) => [3, text.length, text];
const V4 = [1, 127, 0, 0, 1];
const V6 = [4, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

describe('a greeting', () => {
  test('offers methods', () => {
    expect(parseGreeting(bytes(5, 2, 0, 2, 9))).toEqual({
      type: 'done',
      value: { noAuthentication: true },
      size: 4,
    });
    expect(parseGreeting(bytes(5, 1, 2))).toMatchObject({ value: { noAuthentication: false } });
  });

  test.each([
    ['SOCKS4', bytes(4, 1, 0, 80)],
    ['HTTP', bytes('GET / ')],
    ['no method', bytes(5, 0)],
  ])('is refused: %s', (_, input) => {
    expect(parseGreeting(input)).toMatchObject({ type: 'error', error: { reply: undefined } });
  });
});

describe('a request', () => {
  test.each([
    [
      'a name',
      bytes(5, 1, 0, ...name('web.ztna.internal'), 0, 80),
      { kind: 'name', host: 'web.ztna.internal', port: 80 },
    ],
    ['IPv4', bytes(5, 1, 0, ...V4, 0x1f, 0x90), { kind: 'ip', host: '127.0.0.1', port: 8080 }],
    ['IPv6', bytes(5, 1, 0, ...V6, 0, 53), { kind: 'ip', host: '2001:db8:0:0:0:0:0:1', port: 53 }],
  ])('names its destination by %s', (_, input, destination) => {
    const value = { command: 'connect', destination };
    expect(parseRequest(input)).toEqual({ type: 'done', value, size: input.length });
  });

  test('may ask for an association', () => {
    expect(parseRequest(bytes(5, 3, 0, 1, 0, 0, 0, 0, 0, 0))).toMatchObject({
      value: { command: 'udp-associate' },
    });
  });

  test.each([
    ['another version', bytes(4, 1, 0, ...V4, 0, 80), undefined],
    ['BIND', bytes(5, 2, 0, ...V4, 0, 80), REPLY.commandNotSupported],
    ['an unknown command', bytes(5, 9, 0, ...V4, 0, 80), REPLY.commandNotSupported],
    ['an unknown address type', bytes(5, 1, 0, 2), REPLY.addressTypeNotSupported],
    ['a reserved byte that is not zero', bytes(5, 1, 7), REPLY.generalFailure],
    ['an empty name', bytes(5, 1, 0, 3, 0), REPLY.generalFailure],
    ['a name with a zero byte', bytes(5, 1, 0, ...name('a\0b'), 0, 80), REPLY.generalFailure],
    ['a name with a space', bytes(5, 1, 0, ...name('a b'), 0, 80), REPLY.generalFailure],
  ])('is refused: %s', (_, input, reply) => {
    expect(parseRequest(input)).toMatchObject({ type: 'error', error: { reply } });
  });
});

test('a datagram with fragments is refused', () => {
  expect(parseUdpHeader(bytes(0, 0, 1, ...V4, 0, 53))).toMatchObject({ type: 'error' });
  expect(parseUdpHeader(bytes(0, 0, 0, ...V4, 0, 53))).toMatchObject({
    value: { host: '127.0.0.1', port: 53 },
  });
});

test('a reply carries the bound address', () => {
  expect(encodeReply(0, { host: '127.0.0.1', port: 1080 })).toEqual(bytes(5, 0, 0, 1, 127, 0, 0, 1, 4, 56));
  expect(encodeReply(0, { host: '::1', port: 1 })).toEqual(bytes(5, 0, 0, 4, ...Array(15).fill(0), 1, 0, 1));
  expect(encodeReply(5)).toEqual(bytes(5, 5, 0, 1, 0, 0, 0, 0, 0, 0));
});

describe('any bytes', () => {
  const parsers: Record<string, (input: Uint8Array) => Parsed<unknown, unknown>> = {
    parseGreeting,
    parseRequest,
    parseUdpHeader,
  };
  const nearly = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc
      .tuple(
        fc.constantFrom(0, 5),
        fc.integer({ min: 0, max: 4 }),
        fc.constantFrom(0, 0, 1),
        fc.constantFrom(1, 3, 4),
        fc.uint8Array({ maxLength: 300 }),
      )
      .map(([a, b, c, d, rest]) => Uint8Array.of(a, b, c, d, ...rest)),
  );

  test.each(Object.entries(parsers))('%s decides on a prefix as on the whole', (_, parse) => {
    fc.assert(
      fc.property(nearly, (input) => {
        const whole = parse(input);
        if (whole.type === 'done') expect(whole.size).toBeLessThanOrEqual(input.length);
        for (let n = 0; n < input.length; n++) {
          const part = parse(input.subarray(0, n));
          if (part.type !== 'need-more') expect(part).toEqual(whole);
        }
      }),
    );
  });

  test.each(Object.entries(parsers))('%s needs no more than 300 bytes', (_, parse) => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 300, maxLength: 300 }), (input) => {
        expect(parse(input).type).not.toBe('need-more');
      }),
    );
  });
});
