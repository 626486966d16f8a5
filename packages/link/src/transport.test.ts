import { expect, test } from 'vitest';
import {
  innerClientTransport,
  innerServerTransport,
  outerClientTransport,
  outerServerTransport,
  type TransportSettings,
} from './transport.ts';

const settings: TransportSettings = {
  idleTimeoutMs: 30_000,
  keepAliveMs: 10_000,
  initialMtu: 1200,
  maxMtu: 1452,
};

test('outer and inner connections have the congestion controllers that were chosen', () => {
  expect(outerClientTransport(settings).congestion).toBe('cubic');
  expect(outerServerTransport(settings).congestion).toBe('cubic');
  expect(innerClientTransport(settings).congestion).toBe('cubic');
  expect(innerServerTransport(settings).congestion).toBe('cubic');
});

test('an operator sets the controller of each kind of connection, and not of the other', () => {
  const outer = { ...settings, congestion: 'newreno' } as const;
  expect(outerServerTransport(outer).congestion).toBe('newreno');
  expect(innerServerTransport(outer).congestion).toBe('cubic');
  const inner = { ...settings, sessionCongestion: 'newreno' } as const;
  expect(outerClientTransport(inner).congestion).toBe('cubic');
  expect(innerClientTransport(inner).congestion).toBe('newreno');
});
