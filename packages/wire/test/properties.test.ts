import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type ControlMessage,
  decodeControlMessage,
  decodeFlowDatagram,
  decodeFlowOpen,
  decodeFlowResult,
  decodeGrant,
  decodePathHello,
  decodeRelayDatagram,
  decodeSignedGrant,
  decodeSnapshot,
  decodeSnapshotEnvelope,
  decodeVarint,
  encodeControlMessage,
  encodeFrame,
  encodeGrant,
  encodePacket,
  encodeRelayDatagram,
  encodeSnapshot,
  encodeVarint,
  Framer,
  MAX_VARINT,
  parseHostPort,
  parseRelayId,
  parseSpiffeId,
  Reassembler,
  type Result,
  relayPrefix,
} from '../src/index.ts';
import { controlMessages, grant, must, snapshots } from './samples.ts';

const DECODERS: Record<string, (bytes: Uint8Array) => Result<unknown>> = {
  decodeControlMessage,
  decodeFlowDatagram,
  decodeFlowOpen,
  decodeFlowResult,
  decodeGrant,
  decodePathHello,
  decodeRelayDatagram,
  decodeSignedGrant,
  decodeSnapshot,
  decodeSnapshotEnvelope,
  decodeVarint,
};
const bytes = (maxLength: number) => fc.uint8Array({ maxLength });

describe.each(Object.entries(DECODERS))('%s', (_name, decode) => {
  test('gives a value or a typed error for any bytes', () => {
    fc.assert(fc.property(bytes(200), (input) => expectTyped(decode(input))));
  });

  test('gives a value or a typed error for valid messages with any damage', () => {
    const valid = [
      ...controlMessages.map(encodeControlMessage),
      encodeGrant(grant),
      ...snapshots.map(encodeSnapshot),
    ];
    const damage = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 4 });
    fc.assert(
      fc.property(fc.constantFrom(...valid), damage, fc.nat(), (message, changes, cut) => {
        const damaged = message.slice(0, cut % 3 === 0 ? cut % message.length : message.length);
        for (const [at, value] of changes) damaged[at % message.length] = value;
        expectTyped(decode(damaged));
      }),
    );
  });
});

test.each([
  ['SPIFFE id', parseSpiffeId],
  ['host:port', parseHostPort],
] as const)('any text is a %s or a typed error', (_name, parse) => {
  fc.assert(fc.property(fc.string(), (input) => expectTyped(parse(input))));
});

test('varints are minimal and come back', () => {
  const value = fc.oneof(fc.maxSafeNat(), fc.nat(70), fc.nat(0x4001), fc.constant(MAX_VARINT));
  fc.assert(
    fc.property(value, bytes(4), (n, rest) => {
      const encoded = encodeVarint(n);
      expect(decodeVarint(Uint8Array.of(...encoded, ...rest))).toEqual({
        ok: true,
        value: { value: n, size: encoded.length },
      });
    }),
  );
});

test('a varint has no second spelling', () => {
  fc.assert(
    fc.property(bytes(8), (input) => {
      const decoded = decodeVarint(input);
      if (!decoded.ok) return;
      expect(encodeVarint(decoded.value.value)).toEqual(input.slice(0, decoded.value.size));
    }),
  );
});

test('control messages come back', () => {
  fc.assert(
    fc.property(anyControlMessage(), (message) => {
      expect(decodeControlMessage(encodeControlMessage(message))).toEqual({ ok: true, value: message });
    }),
  );
});

test('relay datagrams have one spelling', () => {
  fc.assert(
    fc.property(fc.constantFrom(0x2d, 0x2e), bytes(20), (type, rest) => {
      const input = Uint8Array.of(type, ...rest);
      const decoded = decodeRelayDatagram(input);
      if (decoded.ok) expect(encodeRelayDatagram(decoded.value)).toEqual(input);
    }),
  );
});

describe('Framer', () => {
  test('gives the same messages for any chunking, and the rest untouched', () => {
    fc.assert(
      fc.property(
        fc.array(bytes(300), { maxLength: 6 }),
        fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 20 }),
        (messages, sizes) => {
          const stream = Uint8Array.from(messages.flatMap((message) => [...encodeFrame(message)]));
          const framer = new Framer(300);
          const got: Uint8Array[] = [];
          for (let at = 0, i = 0; at < stream.length; i++) {
            const size = sizes[i % sizes.length] ?? 1;
            framer.push(stream.subarray(at, at + size));
            at += size;
            for (let m = must(framer.next()); m !== undefined; m = must(framer.next())) got.push(m);
          }
          expect(got).toEqual(messages);
          expect(framer.finish()).toEqual({ ok: true, value: undefined });
          expect(framer.buffered).toBe(0);
        },
      ),
    );
  });

  test('gives a message, undefined or a typed error for any bytes', () => {
    fc.assert(
      fc.property(bytes(100), (input) => {
        const framer = new Framer(20);
        framer.push(input);
        for (let i = 0; i < 120; i++) {
          const next = framer.next();
          expectTyped(next);
          if (!next.ok || next.value === undefined) return;
        }
        throw new Error('more messages than bytes');
      }),
    );
  });
});

describe('signed content refuses an unknown field', () => {
  const contents: [string, Uint8Array, (b: Uint8Array) => Result<unknown>][] = [
    ['grant', encodeGrant(grant), decodeGrant],
    ...snapshots.map((s): [string, Uint8Array, (b: Uint8Array) => Result<unknown>] => [
      `snapshot of ${s.content.role}`,
      encodeSnapshot(s),
      decodeSnapshot,
    ]),
  ];

  test.each(contents)('at any depth of a %s', (_name, content, decode) => {
    expect(decode(content)).toMatchObject({ ok: true });
    const variants = withUnknownField(content, NESTED);
    expect(variants.length).toBeGreaterThan(0);
    for (const variant of variants) {
      expect(decode(variant)).toMatchObject({ ok: false, error: { kind: 'unknown-field' } });
    }
  });

  test('and the snapshot samples have messages three levels deep', () => {
    const [, , last] = snapshots;
    if (last === undefined) throw new Error('no sample');
    expect(withUnknownField(encodeSnapshot(last), NESTED).length).toBeGreaterThanOrEqual(6);
  });
});

describe('Reassembler', () => {
  const prefix = relayPrefix(must(parseRelayId(1)));

  test('puts packets together from pieces in any order', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1, maxLength: 400 }),
        fc.integer({ min: 9, max: 100 }),
        fc.infiniteStream(fc.nat()),
        (packet, maxDatagram, order) => {
          const split = encodePacket(prefix, packet, 7, maxDatagram);
          if (!split.ok) return;
          const pieces = split.value.flatMap((datagram) => {
            const decoded = must(decodeRelayDatagram(datagram));
            expect(datagram.length).toBeLessThanOrEqual(maxDatagram);
            return decoded.type === 'fragment' ? [{ at: order.next().value, piece: decoded.fragment }] : [];
          });
          if (pieces.length === 0) return;
          pieces.sort((a, b) => a.at - b.at);
          const reassembler = new Reassembler();
          const given = pieces.map(({ piece }) => reassembler.handleFragment(piece, 0));
          expect(given.pop()).toEqual(packet);
          expect(given.every((packet) => packet === undefined)).toBe(true);
          expect(reassembler.held).toEqual({ packets: 0, bytes: 0 });
        },
      ),
    );
  });

  test('holds no more than it may, and nothing once time is up, whatever comes', () => {
    const piece = fc.record({
      packetId: fc.nat(6),
      index: fc.nat(4),
      last: fc.boolean(),
      bytes: fc.uint8Array({ minLength: 1, maxLength: 12 }),
      wait: fc.nat(30),
    });
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
        const reassembler = new Reassembler({
          maxPackets: 3,
          maxBytes: 40,
          maxPacketBytes: 30,
          timeoutMs: 100,
        });
        let now = 0;
        for (const { wait, ...fragment } of pieces) {
          now += wait;
          reassembler.handleFragment(fragment, now);
          expect(reassembler.held.packets).toBeLessThanOrEqual(3);
          expect(reassembler.held.bytes).toBeLessThanOrEqual(40);
          expect(reassembler.pollTimeout() ?? now + 1).toBeGreaterThan(now);
        }
        reassembler.handleTimeout(now + 100);
        expect(reassembler.held).toEqual({ packets: 0, bytes: 0 });
        expect(reassembler.pollTimeout()).toBeUndefined();
      }),
    );
  });
});

function expectTyped(result: Result<unknown>): void {
  if (result.ok) return;
  expect(result.error.kind).toMatch(/^[a-z-]+$/);
  expect(result.error.field).not.toBe('');
}

/** Samples with texts, numbers and instances replaced. */
function anyControlMessage(): fc.Arbitrary<ControlMessage> {
  return fc
    .record({
      message: fc.constantFrom(...controlMessages),
      text: fc.string({ maxLength: 300 }),
      number: fc.integer({ min: 1, max: 0xffff_ffff }),
      instance: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    })
    .map(({ message, text, number, instance }) => {
      const changed: Record<string, unknown> = { ...message };
      if ('requestId' in message) changed.requestId = number;
      if ('instance' in message) changed.instance = instance;
      if ('software' in message) changed.software = text;
      if ('reason' in message && typeof message.reason === 'string') changed.reason = text;
      return changed as unknown as ControlMessage;
    });
}

/** Which fields of a Snapshot hold messages, by the path of field numbers. */
const NESTED = new Set([
  ...['9', '10', '11'],
  ...['9', '10', '11'].flatMap((content) => [`${content}.1`, `${content}.2`]),
  ...['9.2.2', '10.2.2', '10.3', '11.3', '10.3.2', '11.3.2'],
]);

/** The message with the unknown field 1000 put into it, once at each nested message. */
function withUnknownField(message: Uint8Array, nested: ReadonlySet<string>, path = ''): Uint8Array[] {
  const variants = [Uint8Array.of(...message, 0xc0, 0x3e, 0x01)];
  for (let at = 0; at < message.length; ) {
    const tag = protoVarint(message, at);
    let end = tag.end;
    if ((tag.value & 7) === 2) {
      const length = protoVarint(message, tag.end);
      end = length.end + length.value;
      const inner = path === '' ? `${tag.value >> 3}` : `${path}.${tag.value >> 3}`;
      if (nested.has(inner)) {
        for (const changed of withUnknownField(message.slice(length.end, end), nested, inner)) {
          variants.push(
            Uint8Array.of(
              ...message.slice(0, tag.end),
              ...protoLength(changed.length),
              ...changed,
              ...message.slice(end),
            ),
          );
        }
      }
    } else {
      end = protoVarint(message, tag.end).end;
    }
    at = end;
  }
  return variants;
}

function protoVarint(message: Uint8Array, at: number): { value: number; end: number } {
  let value = 0;
  for (let i = at, scale = 1; ; i++, scale *= 128) {
    const byte = message[i] ?? 0;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return { value, end: i + 1 };
  }
}

function protoLength(length: number): number[] {
  return length < 128 ? [length] : [(length & 0x7f) | 0x80, length >> 7];
}
