import { describe, expect, it } from 'vitest';
import {
  NativeEndpoint,
  type NativeEndpointOptions,
  type NativeEndpointType,
  type NativeEvent,
} from './native.ts';
import { identity, makePki, OUTER } from './testing.ts';

const pki = await makePki();
const good: NativeEndpointOptions = {
  listen: '127.0.0.1:0',
  tls: { ...(await identity(pki, 'intermediate/i')), roots: pki.roots, crls: [] },
  keys: { retryKeys: [] },
};
const server = (more: object) => ({
  ...good,
  server: {
    alpn: [OUTER],
    transport: {},
    requireClientCert: true,
    retry: 'never',
    maxHandshakes: 10,
    ...more,
  },
});

/** Everything that the endpoint says until it has stopped. */
function collect(options: NativeEndpointOptions): {
  endpoint: NativeEndpointType;
  stopped: Promise<NativeEvent[]>;
} {
  const events: NativeEvent[] = [];
  const { promise, resolve } = Promise.withResolvers<NativeEvent[]>();
  const endpoint = new NativeEndpoint(options, () => {
    events.push(...endpoint.drain());
    if (events.at(-1)?.type === 'stopped') resolve(events);
  });
  return { endpoint, stopped: promise };
}

describe('the raw binding', () => {
  const refused: [string, NativeEndpointOptions, string][] = [
    ['an address without a port', { ...good, listen: '127.0.0.1' }, 'ERR_INVALID_ARG'],
    ['an address of another machine', { ...good, listen: '192.0.2.1:0' }, 'ERR_BIND'],
    ['roots that are not PEM', { ...good, tls: { ...good.tls, roots: 'x' } }, 'ERR_TLS_CONFIG'],
    ['a key that is not PEM', { ...good, tls: { ...good.tls, privateKey: 'x' } }, 'ERR_TLS_CONFIG'],
    [
      'a server without an identity',
      { ...server({}), tls: { roots: pki.roots, crls: [] } },
      'ERR_TLS_CONFIG',
    ],
    ['a server without protocols', server({ alpn: [] }), 'ERR_TLS_CONFIG'],
    ['an unknown retry policy', server({ retry: 'sometimes' }), 'ERR_INVALID_ARG'],
    ['an MTU that QUIC does not know', server({ transport: { initialMtu: 1199 } }), 'ERR_INVALID_ARG'],
    ['an unknown congestion controller', server({ transport: { congestion: 'vegas' } }), 'ERR_INVALID_ARG'],
    ['a short retry key', { ...good, keys: { retryKeys: [new Uint8Array(31)] } }, 'ERR_INVALID_ARG'],
    [
      'a long reset key',
      { ...good, keys: { retryKeys: [], resetKey: new Uint8Array(33) } },
      'ERR_INVALID_ARG',
    ],
    [
      'a server id of five bytes',
      { ...good, keys: { retryKeys: [], serverId: new Uint8Array(5) } },
      'ERR_INVALID_ARG',
    ],
  ];
  for (const [what, options, code] of refused) {
    it(`refuses ${what}`, () => {
      expect(() => new NativeEndpoint(options, () => {})).toThrow(code);
    });
  }

  it('answers a request about a connection that does not exist', async () => {
    const { endpoint, stopped } = collect(good);
    endpoint.openStream(77, 0);
    endpoint.connectionStats(77, 2);
    endpoint.ruleStats(77, 3);
    endpoint.read(77, 0, 1);
    endpoint.write(77, 0, new Uint8Array(1), false, true);
    endpoint.shutdown(0, '');
    endpoint.flush();
    const events = await stopped;
    expect(events.map((e) => e.type)).toEqual([
      'connection-stats',
      'rule-stats',
      'read',
      'written',
      'stopped',
    ]);
    expect(events.at(-1)).toEqual({ type: 'stopped' });
  });

  it('takes orders that make no sense without harm', async () => {
    const { endpoint, stopped } = collect(good);
    const prefix = { whole: new Uint8Array(0), fragment: new Uint8Array(99) };
    endpoint.addRule(1, 2, 3, prefix, prefix);
    endpoint.setVirtualPath(1, 2, prefix, prefix);
    endpoint.removeVirtualPath(9);
    endpoint.spliceSend(1, 2, 3, new Uint8Array(0));
    endpoint.closeUdpFlow(1);
    endpoint.tcpClose(1, true);
    endpoint.close(1, -5, 'x'.repeat(10_000));
    endpoint.shutdown(Number.MAX_SAFE_INTEGER, '');
    endpoint.flush();
    expect((await stopped).at(-1)).toEqual({ type: 'stopped' });
  });
});
