import type { ComponentStatus, PortMappingStatus } from '@ztna/link';
import { expect, test } from 'vitest';
import { checkPortMapping } from './port-mapping.ts';

const MAPPED = {
  state: 'mapped',
  gateway: '192.0.2.1',
  external: '203.0.113.5:41000',
  protocol: 'pcp',
} as const;

test.each<[string, Omit<PortMappingStatus, 'asked'> & Partial<PortMappingStatus>, object]>([
  ['off', { state: 'off', detail: 'by hand' }, { status: 'ok', message: 'none: by hand' }],
  ['not asked for', { state: 'idle' }, { status: 'ok', message: expect.stringMatching('not asked for') }],
  ['there', { ...MAPPED, behindAnotherNat: false }, { status: 'ok', facts: { external: MAPPED.external } }],
  ['of no use', { ...MAPPED, behindAnotherNat: true }, { status: 'warn', code: 'mapping-behind-nat' }],
  [
    'refused',
    {
      state: 'waiting',
      gateway: '192.0.2.1',
      asked: [{ protocol: 'pcp', outcome: 'refused: not authorised' }],
    },
    { status: 'ok', message: 'none: 192.0.2.1 is asked: pcp refused: not authorised' },
  ],
])('a port mapping that is %s', (_what, mapping, expected) => {
  const status = { component: 'agent', portMapping: { asked: [], ...mapping } } as Partial<ComponentStatus>;
  expect(checkPortMapping([status as ComponentStatus])).toMatchObject(expected);
});

test('without an agent that says, it is skipped', () => {
  expect(checkPortMapping([])).toMatchObject({ status: 'skip' });
  expect(checkPortMapping([{ component: 'agent' } as ComponentStatus])).toMatchObject({ status: 'skip' });
});
