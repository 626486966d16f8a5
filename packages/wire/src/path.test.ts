import { expect, test } from 'vitest';
import { fromHex } from './ids.ts';
import { decodePathHello } from './path.ts';

test('a NAT mapping and a field of a later version leave the rest readable', () => {
  const later = fromHex('08631001f83f01');
  expect(decodePathHello(later)).toEqual({
    ok: true,
    value: { nat: 'unknown', directAllowed: true, candidates: 0 },
  });
});
