import { describe, expect, test } from 'vitest';
import { controlMessages, must, sessionUid, tenant } from '../test/samples.ts';
import { concat } from './bytes.ts';
import { decodeControlMessage, encodeControlMessage, type Register } from './control.ts';
import { wireError } from './errors.ts';
import { clip } from './fields.ts';
import { fromHex, parseRevision, parseServiceName } from './ids.ts';
import { LIMITS } from './registry.ts';

const UTF8 = new TextEncoder();
const register: Register = { type: 'register', services: [], capacity: 0, labels: new Map() };

describe('control messages', () => {
  test('unknown fields are ignored, beside the message and inside it', () => {
    const beside = concat(fromHex('6a00'), fromHex('c03e01'));
    const inside = fromHex('6a03c03e01');
    for (const bytes of [beside, inside]) {
      expect(decodeControlMessage(bytes)).toEqual({ ok: true, value: { type: 'goodbye', reason: '' } });
    }
  });

  test('an error code of a later version is still an error', () => {
    expect(decodeControlMessage(fromHex('620308e707'))).toMatchObject({
      ok: true,
      value: { type: 'error', error: { code: 'unrecognised' } },
    });
  });

  test('a message over its limit is refused before it is read', () => {
    expect(decodeControlMessage(new Uint8Array(LIMITS.controlMessage + 1))).toMatchObject({
      ok: false,
      error: { kind: 'too-large' },
    });
  });

  test('lists have limits, and name no service twice', () => {
    const names = Array.from({ length: LIMITS.services + 1 }, (_, i) => must(parseServiceName(`s${i}`)));
    const most = { ...register, services: names.slice(1) };
    expect(decodeControlMessage(encodeControlMessage(most))).toEqual({ ok: true, value: most });
    const tooMany = encodeControlMessage({ ...register, services: names });
    expect(decodeControlMessage(tooMany)).toMatchObject({ ok: false, error: { kind: 'too-large' } });
    const twice = encodeControlMessage({
      ...register,
      services: [...names.slice(0, 1), ...names.slice(0, 1)],
    });
    expect(decodeControlMessage(twice)).toMatchObject({
      ok: false,
      error: { kind: 'invalid', field: 'register.services' },
    });
  });

  test('the longest lists fit the largest message', () => {
    const longest = Array.from({ length: LIMITS.services }, (_, i) =>
      must(parseServiceName(`${'a.'.repeat(62)}${i.toString().padStart(4, '0')}`)),
    );
    expect(() => encodeControlMessage({ ...register, services: longest })).not.toThrow();
  });

  test('labels are data, whatever their keys', () => {
    const labels = new Map([['__proto__', 'x']]);
    const decoded = decodeControlMessage(encodeControlMessage({ ...register, labels }));
    expect(decoded).toEqual({ ok: true, value: { ...register, labels } });
  });

  test('texts for people are cut by the encoder and refused by the decoder when too long', () => {
    const long = 'é'.repeat(LIMITS.text);
    const decoded = must(decodeControlMessage(encodeControlMessage({ type: 'goodbye', reason: long })));
    if (decoded.type !== 'goodbye') throw new Error(decoded.type);
    expect(decoded.reason).toBe('é'.repeat(LIMITS.text / 2));
    const text = UTF8.encode('x'.repeat(LIMITS.text + 1));
    const bytes = concat(fromHex('6a8408'), fromHex('0a8108'), text);
    expect(decodeControlMessage(bytes)).toMatchObject({ ok: false, error: { kind: 'too-large' } });
  });

  test('text is never cut inside a character', () => {
    expect(clip('a😀😀', 8)).toBe('a😀');
    expect(clip('abc', 8)).toBe('abc');
  });

  test('the error in an answer keeps its code, text and request', () => {
    const reason = wireError('limit', 'too many sessions: try later', 3);
    const message = { type: 'closeSession', sessionUid, reason } as const;
    expect(decodeControlMessage(encodeControlMessage(message))).toEqual({ ok: true, value: message });
  });

  test('a Hello without versions is refused', () => {
    const [hello] = controlMessages;
    if (hello?.type !== 'hello') throw new Error('no hello');
    const bytes = encodeControlMessage({ ...hello, tenant, revision: must(parseRevision(0)), versions: [] });
    expect(decodeControlMessage(bytes)).toMatchObject({
      ok: false,
      error: { kind: 'missing', field: 'hello.versions' },
    });
  });
});
