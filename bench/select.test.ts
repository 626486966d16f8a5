import { UsageError } from '@ztna/runtime';
import { describe, expect, test } from 'vitest';
import { names, netlabNames, readOnly, selects } from './select.ts';

describe('--only', () => {
  test.each([
    ['relay.rtt', ['relay.rtt']],
    ['handshake', ['handshake']],
    ['handshake*', ['handshake', 'handshake.retry']],
    ['handshake.', ['handshake.retry']],
  ])('%s stands for %j', (pattern, expected) => {
    const only = readOnly([pattern]);
    expect(names.filter((name) => selects(only, name))).toEqual(expected);
  });

  test('takes a list, several times', () => {
    expect(readOnly(['relay.rtt, session.rtt', 'session.tcp.'])).toEqual([
      'relay.rtt',
      'session.rtt',
      'session.tcp.',
    ]);
  });

  test('a soak runs only when it is named', () => {
    const chosen = (...only: string[]) => names.filter((name) => selects(only, name)).includes('soak');
    expect([chosen(), chosen('s*'), chosen('soak*'), chosen('*')]).toEqual([false, false, false, false]);
    expect(chosen('relay.rtt', 'soak')).toBe(true);
  });

  test('direct paths are measured with --netlab, and nothing else is then', () => {
    expect(readOnly(['direct.', 'fallback.time'], true)).toEqual(['direct.', 'fallback.time']);
    expect(refused(() => readOnly(['direct.']))).toMatchObject({ remedy: 'add --netlab' });
    expect(refused(() => readOnly(['relay.rtt'], true))).toMatchObject({ remedy: 'leave --netlab out' });
    expect(refused(() => readOnly(['direct.rt'], true)).remedy).toContain('did you mean direct.rtt?');
    expect(names.filter((name) => netlabNames.includes(name))).toEqual([]);
  });

  test.each([
    ['nosuch', undefined],
    ['relay.rt', 'relay.rtt'],
    ['relay.rtt,sesion.rtt', 'session.rtt'],
    ['nosuch.', undefined],
    ['', undefined],
  ])('refuses %j, naming what there is and the nearest', (text, meant) => {
    const error = refused(() => readOnly([text]));
    expect(error.remedy).toContain(names.join(', '));
    expect(error.remedy?.match(/did you mean (\S+)\?/)?.[1]).toBe(meant);
  });
});

function refused(action: () => unknown): UsageError {
  try {
    action();
  } catch (error) {
    if (error instanceof UsageError) return error;
  }
  throw new Error('it was taken');
}
