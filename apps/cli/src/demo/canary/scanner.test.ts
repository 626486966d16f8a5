import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { makeCanary, needlesOf } from './canary.ts';
import { Scanner } from './scanner.ts';

const canary = makeCanary();
const noise = () => randomBytes(500);

describe('a canary is found', () => {
  const { bytes, hex } = canary;
  const utf16be = (text: string) => Buffer.from(text, 'utf16le').swap16();
  test.each([
    ['raw', bytes],
    ['as hexadecimal', Buffer.from(hex)],
    ['as upper-case hexadecimal', Buffer.from(hex.toUpperCase())],
    ['as base64', Buffer.from(bytes.toString('base64'))],
    ['as base64 for URLs', Buffer.from(bytes.toString('base64url'))],
    ['inside of longer base64', Buffer.from(Buffer.concat([noise(), bytes, noise()]).toString('base64'))],
    ['one byte later', Buffer.from(Buffer.concat([randomBytes(1), bytes, noise()]).toString('base64'))],
    ['two bytes later', Buffer.from(Buffer.concat([randomBytes(2), bytes, noise()]).toString('base64'))],
    ['as UTF-16', Buffer.from(hex, 'utf16le')],
    ['as big-endian UTF-16', utf16be(hex)],
    ['as base64 in UTF-16', Buffer.from(bytes.toString('base64'), 'utf16le')],
  ])('%s', (_, hidden) => {
    const scanner = new Scanner(canary.needles);
    scanner.push(Buffer.concat([noise(), hidden, noise()]));
    expect(scanner.hits).toBeGreaterThan(0);
  });

  test('once, wherever the pieces are cut, in every form', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: canary.needles.length - 1 }),
        fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 8 }),
        (index, sizes) => {
          const needle = canary.needles[index];
          if (!needle) throw new Error('no such needle');
          const text = Buffer.concat([Buffer.alloc(71, 1), needle.bytes, Buffer.alloc(71, 1)]);
          const scanner = new Scanner([needle]);
          for (const piece of pieces(text, sizes)) scanner.push(piece);
          expect([...scanner.findings]).toEqual([[needle.form, 1]]);
          expect(scanner.bytes).toBe(text.length);
        },
      ),
    );
  });

  test('as often as it is there, overlaps included', () => {
    const scanner = new Scanner([{ form: 'a', bytes: Buffer.from('aba') }]);
    for (const piece of ['ab', 'aba', 'b', 'a']) scanner.push(Buffer.from(piece));
    expect(scanner.hits).toBe(3);
  });
});

describe('a canary is not found', () => {
  test('where it is not', () => {
    const scanner = new Scanner(canary.needles);
    for (let i = 0; i < 20; i++) scanner.push(noise());
    expect([...scanner.findings]).toEqual([]);
  });

  test('where another one is', () => {
    const scanner = new Scanner(canary.needles);
    for (const { bytes } of makeCanary().needles) scanner.push(bytes);
    expect(scanner.hits).toBe(0);
  });

  test('across a gap', () => {
    const scanner = new Scanner(canary.needles);
    scanner.push(canary.bytes.subarray(0, 20));
    scanner.gap();
    scanner.push(canary.bytes.subarray(20));
    expect(scanner.hits).toBe(0);
  });

  test('when a bit of it is wrong', () => {
    const scanner = new Scanner(canary.needles);
    const wrong = Buffer.from(canary.bytes);
    wrong.writeUInt8(wrong.readUInt8(31) ^ 1, 31);
    scanner.push(wrong);
    expect(scanner.hits).toBe(0);
  });
});

test('needles are long enough not to appear by chance', () => {
  const lengths = needlesOf(canary.bytes).map(({ bytes }) => bytes.length);
  expect(Math.min(...lengths)).toBeGreaterThanOrEqual(32);
});

test('an empty needle is a bug', () => {
  expect(() => new Scanner([{ form: 'x', bytes: Buffer.alloc(0) }])).toThrow(RangeError);
});

function* pieces(text: Buffer, sizes: readonly number[]): Generator<Buffer> {
  for (let at = 0, i = 0; at < text.length; i++) {
    const size = sizes[i % sizes.length] ?? 1;
    yield text.subarray(at, at + size);
    at += size;
  }
}
