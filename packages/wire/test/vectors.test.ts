import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
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
  encodeControlMessage,
  encodeFlowDatagram,
  encodeFlowOpen,
  encodeFlowResult,
  encodeGrant,
  encodePacket,
  encodePathHello,
  encodeRelayDatagram,
  encodeSignedGrant,
  encodeSnapshot,
  encodeSnapshotEnvelope,
  Framer,
  fromHex,
  grantSigningInput,
  LIMITS,
  parseRelayId,
  Reassembler,
  type ReassemblerOptions,
  type Result,
  relayPrefix,
  snapshotSigningInput,
  toHex,
} from '../src/index.ts';
import { fromJson, toJson } from './json.ts';
import { must } from './samples.ts';

const CODECS = {
  control: [encodeControlMessage, decodeControlMessage],
  'flow-open': [encodeFlowOpen, decodeFlowOpen],
  'flow-result': [encodeFlowResult, decodeFlowResult],
  grant: [encodeGrant, decodeGrant],
  'path-hello': [encodePathHello, decodePathHello],
  'signed-grant': [encodeSignedGrant, decodeSignedGrant],
  snapshot: [encodeSnapshot, decodeSnapshot],
  'snapshot-envelope': [encodeSnapshotEnvelope, decodeSnapshotEnvelope],
} as const;
const DATAGRAMS = {
  relay: [encodeRelayDatagram, decodeRelayDatagram],
  flow: [encodeFlowDatagram, decodeFlowDatagram],
} as const;

const control = load('control.json', ['valid', 'invalid', 'unknownMessages', 'frames', 'signing']);
const relay = load('relay.json', ['valid', 'invalid']);
const fragment = load('fragment.json', ['valid', 'invalid', 'split', 'reassembly']);

describe('control.json', () => {
  test.each(control.valid)('$codec: $name is decoded and encoded', ({ codec, hex, value }) => {
    const [encode, decode] = codecOf(codec);
    const decoded = decode(fromHex(hex));
    expect(decoded).toMatchObject({ ok: true });
    expect(toJson(must(decoded))).toEqual(value);
    expect(toHex(encode(fromJson(value)))).toBe(hex);
  });

  test.each(control.invalid)('$codec: $name is refused as $error', ({ codec, hex, error }) => {
    const [, decode] = codecOf(codec);
    expect(decode(fromHex(hex))).toMatchObject({ ok: false, error: { kind: error } });
  });

  test('every codec has a valid vector', () => {
    const seen = new Set(control.valid.map((vector) => vector.codec));
    expect([...seen].sort()).toEqual(Object.keys(CODECS).sort());
  });

  test.each(control.unknownMessages)('unknown message: $name', ({ hex, numbers }) => {
    expect(must(decodeControlMessage(fromHex(hex)))).toEqual({ type: 'unknown', numbers });
  });

  test.each(control.frames)('frames of $hex', ({ hex, messages, error }) => {
    const framer = new Framer(LIMITS.controlMessage);
    framer.push(fromHex(hex));
    for (const message of messages) expect(toHex(must(framer.next()) ?? fromHex(''))).toBe(message);
    const last = framer.next();
    if (error === undefined) expect(last).toEqual({ ok: true, value: undefined });
    else expect(last).toMatchObject({ ok: false, error: { kind: error } });
  });

  test.each(control.signing)('signing input of a $kind', ({ kind, hex, content }) => {
    const input = kind === 'grant' ? grantSigningInput : snapshotSigningInput;
    expect(toHex(input(fromHex(content)))).toBe(hex);
  });
});

describe('relay.json and fragment.json', () => {
  test.each([...relay.valid, ...fragment.valid])('$type: $name is decoded and encoded', (vector) => {
    const [encode, decode] = datagramCodec(vector.type);
    const value = must(decode(fromHex(vector.hex)));
    const { id, payload, packetId, index, last, bytes } = vector;
    expect(toJson(value)).toEqual(
      payload === undefined
        ? { type: 'fragment', id, fragment: { packetId, index, last, bytes: { hex: bytes } } }
        : { type: 'whole', id, payload: { hex: payload } },
    );
    expect(toHex(encode(value))).toBe(vector.hex);
  });

  test.each([...relay.invalid, ...fragment.invalid])('$type: $name is refused', ({ type, hex, error }) => {
    const [, decode] = datagramCodec(type);
    expect(decode(fromHex(hex))).toMatchObject({ ok: false, error: { kind: error } });
  });

  test.each(fragment.split)('split: $name', ({ id, packetId, maxDatagram, payload, datagrams, error }) => {
    const prefix = relayPrefix(must(parseRelayId(id)));
    const result = encodePacket(prefix, fromHex(payload), packetId, maxDatagram);
    if (error === undefined) expect(must(result).map(toHex)).toEqual(datagrams);
    else expect(result).toMatchObject({ ok: false, error: { kind: error } });
  });

  test.each(fragment.reassembly)('reassembly: $name', ({ options, steps, counters, held }) => {
    const reassembler = new Reassembler(options as ReassemblerOptions);
    for (const { at, body, gives } of steps) {
      const piece = must(decodeRelayDatagram(fromHex(`2d01${body}`)));
      if (piece.type !== 'fragment') throw new Error('not a piece');
      const packet = reassembler.handleFragment(piece.fragment, at);
      expect(packet === undefined ? null : toHex(packet)).toBe(gives);
    }
    const none = { completed: 0, expired: 0, evicted: 0, duplicate: 0, contradictory: 0, tooLarge: 0 };
    expect(reassembler.counters).toEqual({ ...none, ...counters });
    if (held !== undefined) expect(reassembler.held).toEqual(held);
  });
});

// biome-ignore lint/suspicious/noExplicitAny: the vectors are checked by the tests that read them
type Json = any;
type Codec = readonly [(value: Json) => Uint8Array, (bytes: Uint8Array) => Result<Json>];

function codecOf(name: keyof typeof CODECS): Codec {
  return CODECS[name] as Codec;
}

function datagramCodec(name: keyof typeof DATAGRAMS): Codec {
  return DATAGRAMS[name] as Codec;
}

function load<Part extends string>(file: string, parts: readonly Part[]) {
  const text = readFileSync(new URL(`../../../vectors/${file}`, import.meta.url), 'utf8');
  const json = JSON.parse(text) as Record<Part, Record<string, Json>[]>;
  expect(Object.keys(json).sort()).toEqual([...parts].sort());
  return json;
}
