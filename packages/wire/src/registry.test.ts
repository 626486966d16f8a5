import { describe, expect, test } from 'vitest';
import {
  fromWireError,
  toZtnaError,
  WIRE_ERRORS,
  wireError,
  wireErrorCode,
  wireErrorNumber,
} from './errors.ts';
import { ErrorCode } from './gen/ztna/v2/control_pb.ts';
import { parseFlowId, parseRelayId } from './ids.ts';
import { flowPrefix, relayPrefix } from './prefix.ts';
import { FRAME, FRAME_REGISTRY, RESERVED_RANGES } from './registry.ts';

describe('frame registry', () => {
  const numbers = Object.keys(FRAME_REGISTRY).map(Number);

  test('has every number of ztna/2, and names each once', () => {
    expect(numbers).toEqual(expect.arrayContaining(Object.values(FRAME)));
    const names = Object.values(FRAME_REGISTRY).map((frame) => frame.name);
    expect(new Set(names).size).toBe(names.length);
    expect(new Set(Object.values(FRAME)).size).toBe(Object.values(FRAME).length);
  });

  test('gives out no number that begins a bare IP packet', () => {
    for (const { from, to } of RESERVED_RANGES) {
      expect(numbers.filter((number) => number >= from && number <= to)).toEqual([]);
    }
  });

  test('keeps the numbers of v1 for v1', () => {
    const v1 = Object.entries(FRAME_REGISTRY).filter(([, frame]) => frame.protocol === 'ztna-v1');
    expect(v1.map(([number]) => Number(number))).toEqual([0x01, 0x10, 0x11, 0x12, 0x13, 0x20, 0x21, 0x2f]);
  });

  test('prefixes are the type and the minimal id', () => {
    const relay = parseRelayId(64);
    const flow = parseFlowId(1);
    if (!relay.ok || !flow.ok) throw new Error('ids');
    expect(relayPrefix(relay.value)).toEqual({
      whole: Uint8Array.of(0x2e, 0x40, 0x40),
      fragment: Uint8Array.of(0x2d, 0x40, 0x40),
    });
    expect(flowPrefix(flow.value)).toEqual({
      whole: Uint8Array.of(0x30, 1),
      fragment: Uint8Array.of(0x31, 1),
    });
  });
});

describe('errors', () => {
  test('every proto code but UNSPECIFIED has one stable code, and the reverse', () => {
    const protoNumbers = Object.values(ErrorCode).filter((number) => number !== ErrorCode.UNSPECIFIED);
    const ours = Object.values(WIRE_ERRORS).map((entry) => entry.number);
    expect([...ours].sort()).toEqual([...protoNumbers].sort());
    for (const number of protoNumbers) {
      const code = wireErrorCode(number);
      expect(code && wireErrorNumber(code)).toBe(number);
    }
    expect(wireErrorCode(9999)).toBeUndefined();
  });

  test('an error says what happened, to what, what to do, and who must act', () => {
    const error = fromWireError(
      wireError('not-authorized', 'no policy lets laptop-1 reach web: ask for one'),
    );
    expect(error).toMatchObject({ code: 'not-authorized', fault: 'policy' });
    expect(error.message).toContain('ask for one');
    const hostile = wireError('internal', 'x\r\n  what to do: y\u001b[2K\u009b2J\u202ez\u2028');
    expect(fromWireError(hostile).message).toBe('x??  what to do: y?[2K?2J?z?');
    const decode = toZtnaError({ kind: 'missing', field: 'hello.tenant', detail: 'is empty or absent' });
    expect(decode).toMatchObject({ code: 'decode-missing', fault: 'peer' });
    expect(decode.message).toBe('is empty or absent (hello.tenant)');
  });
});
