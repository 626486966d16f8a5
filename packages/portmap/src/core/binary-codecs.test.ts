import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseIp } from './address.ts';
import { decodeNatPmpResponse, encodeNatPmpAddress, encodeNatPmpMap } from './nat-pmp-codec.ts';
import { decodePcpResponse, encodePcpMap, isUdp } from './pcp-codec.ts';

const ip = (text: string) => parseIp(text) ?? new Uint8Array(16);
const hex = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'));
const nonce = hex('000102030405060708090a0b');

describe('PCP (layouts of RFC 6887 figures 2, 3, 9 and 10)', () => {
  const mapResponse = `
    02 81 00 00  00000e10  00012345  000000000000000000000000
    000102030405060708090a0b  11 000000  a028 c351  00000000000000000000ffffcb007105`;

  test('a MAP request', () => {
    const bytes = encodePcpMap({
      nonce,
      lifetime: 7200,
      client: ip('192.168.1.20'),
      internalPort: 41000,
      suggestedPort: 50001,
      suggestedAddress: ip('203.0.113.5'),
    });

    expect(bytes).toEqual(
      hex(`02 01 0000  00001c20  00000000000000000000ffffc0a80114
           000102030405060708090a0b  11 000000  a028 c351  00000000000000000000ffffcb007105`),
    );
  });

  test('a MAP response', () => {
    expect(decodePcpResponse(hex(mapResponse))).toEqual({
      ok: true,
      value: {
        type: 'map',
        result: 0,
        lifetime: 3600,
        epoch: 0x12345,
        nonce,
        protocol: 17,
        internalPort: 41000,
        externalPort: 50001,
        externalAddress: ip('203.0.113.5'),
      },
    });
    expect(isUdp(17)).toBe(true);
    expect(isUdp(6)).toBe(false);
  });

  test('a MAP response with an option behind it', () => {
    expect(decodePcpResponse(hex(`${mapResponse} 02000000`)).ok).toBe(true);
  });

  test('an announcement', () => {
    const bytes = hex('02 80 00 00 00000000 00000007 000000000000000000000000');
    expect(decodePcpResponse(bytes)).toEqual({ ok: true, value: { type: 'announce', result: 0, epoch: 7 } });
  });

  test("NAT-PMP's refusal of version 2", () => {
    expect(decodePcpResponse(hex('00 81 0001 00000007'))).toEqual({
      ok: true,
      value: { type: 'other-version', version: 0 },
    });
  });

  test.each([
    ['', 'truncated'],
    ['02 81 00', 'truncated'],
    ['02 81 00 00 00000000 00000007', 'truncated'],
    ['02 81 00 00 00000000 00000007 000000000000000000000000', 'truncated'],
    [`${mapResponse} 00`, 'malformed'],
    [mapResponse.replace('02 81', '02 01'), 'invalid'],
    [mapResponse.replace('02 81', '02 82'), 'frame-type'],
    [mapResponse + '00'.repeat(1044), 'too-large'],
  ])('%s is refused: %s', (bytes, kind) => {
    expect(decodePcpResponse(hex(bytes))).toMatchObject({ ok: false, error: { kind } });
  });
});

describe('NAT-PMP (layouts of RFC 6886 sections 3.2 and 3.3)', () => {
  test('requests', () => {
    expect(encodeNatPmpAddress()).toEqual(hex('0000'));
    expect(encodeNatPmpMap(41000, 50001, 7200)).toEqual(hex('0001 0000 a028 c351 00001c20'));
  });

  test('an address', () => {
    expect(decodeNatPmpResponse(hex('00 80 0000 00000007 cb007105'))).toEqual({
      ok: true,
      value: { type: 'address', result: 0, epoch: 7, address: ip('203.0.113.5') },
    });
  });

  test('a mapping', () => {
    expect(decodeNatPmpResponse(hex('00 81 0000 00000007 a028 c351 00000e10'))).toEqual({
      ok: true,
      value: { type: 'map', result: 0, epoch: 7, internalPort: 41000, externalPort: 50001, lifetime: 3600 },
    });
  });

  test('an error', () => {
    expect(decodeNatPmpResponse(hex('00 81 0002 00000007'))).toEqual({
      ok: true,
      value: { type: 'error', result: 2, epoch: 7, opcode: 1 },
    });
  });

  test.each([
    ['', 'truncated'],
    ['00 80 0000 0000', 'truncated'],
    ['00 80 0000 00000007', 'malformed'],
    ['00 81 0000 00000007 a028 c351', 'malformed'],
    ['00 00 0000 00000007 cb007105', 'invalid'],
    ['02 80 0000 00000007 cb007105', 'invalid'],
    ['00 84 0000 00000007 cb007105', 'frame-type'],
    ['00'.repeat(17), 'too-large'],
  ])('%s is refused: %s', (bytes, kind) => {
    expect(decodeNatPmpResponse(hex(bytes))).toMatchObject({ ok: false, error: { kind } });
  });
});

test('any bytes decode to a value or a typed error', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 70 }), (bytes) => {
      for (const result of [decodePcpResponse(bytes), decodeNatPmpResponse(bytes)]) {
        expect(result.ok || typeof result.error.kind === 'string').toBe(true);
      }
    }),
  );
});
