import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { type GatewayBehaviour, igd, natPmp, pcp, SimulatedGateway } from '../../test/gateway.ts';
import type { Protocol } from '../core/client.ts';
import { type Mapping, PortMapper, type PortMapperOptions } from './port-mapper.ts';

const stack: AsyncDisposable[] = [];
afterEach(async () => {
  for (const item of stack.splice(0).reverse()) await item[Symbol.asyncDispose]();
});

const description = (port: number) => `http://127.0.0.2:${port}/d.xml`;

describe('a gateway of PCP', () => {
  test('maps the port, and unmaps it on close', async () => {
    const { mapper, gateway, seen } = await start({ control: pcp() });

    await until(() => expect(seen).toHaveLength(1));
    expect(seen[0]).toMatchObject({
      protocol: 'pcp',
      external: '203.0.113.5:41000',
      internalPort: 41_000,
      behindAnotherNat: false,
    });
    expect((seen[0]?.expiresAt ?? 0) / 1000 - Date.now() / 1000).toBeCloseTo(3600, -2);
    expect(mapper.status()).toMatchObject({
      state: 'mapped',
      gateway: '127.0.0.2',
      localAddress: '127.0.0.1',
    });
    await mapper.close();

    expect(seen).toEqual([seen[0], undefined]);
    expect(gateway.requests.at(-1)?.readUInt32BE(4)).toBe(0);
    expect(gateway.requests.at(-1)?.subarray(24, 36)).toEqual(gateway.requests[0]?.subarray(24, 36));
    expect(mapper.status().state).toBe('closed');
  });

  test('asks from a socket of its own', async () => {
    const { gateway, seen } = await start({ control: pcp() });
    await until(() => expect(seen).toHaveLength(1));

    expect(gateway.asker?.port).not.toBe(41_000);
  });

  test('is asked again when it announces that it restarted', async () => {
    const { gateway, seen, announcePort, clock } = await start({ control: pcp() });
    await until(() => expect(seen).toHaveLength(1));
    clock.skip(60_000);
    const announcement = Buffer.alloc(24);
    announcement.set([2, 0x80]);

    gateway.send(announcement, announcePort, '127.0.0.1');

    await until(() => expect(seen).toHaveLength(2));
  });

  test('is asked again after a change of the network', async () => {
    const { mapper, gateway, seen } = await start({ control: pcp() });
    await until(() => expect(seen).toHaveLength(1));

    mapper.networkChanged();
    await until(() => expect(seen).toHaveLength(2));

    expect(gateway.requests).toHaveLength(2);
    expect(seen[1]).toBeDefined();
  });

  test('behind another NAT is told as such', async () => {
    const { seen } = await start({ control: pcp({ external: [100, 64, 1, 1] }) });

    await until(() => expect(seen[0]).toMatchObject({ behindAnotherNat: true }));
  });

  test('with a wrong nonce is not believed', async () => {
    const { mapper, seen } = await start({ control: pcp({ nonce: new Uint8Array(12) }) }, ['pcp']);

    await until(() => expect(mapper.status().state).toBe('waiting'));
    expect(seen).toEqual([]);
    expect(mapper.status().drops.mismatch).toBeGreaterThan(0);
  });

  test('that gives no lifetime gives no mapping', async () => {
    const { mapper, seen } = await start({ control: pcp({ lifetime: 0 }) }, ['pcp']);

    await until(() => expect(mapper.status().state).toBe('waiting'));
    expect(seen).toEqual([]);
    expect(mapper.status().asked).toMatchObject([{ outcome: { cause: 'lifetime' } }]);
  });
});

test('another host that answers in place of the gateway is not heard', async () => {
  const forged = pcp();
  const stranger = createSocket('udp4').bind(0, '127.0.0.3');
  await once(stranger, 'listening');
  stack.push({ [Symbol.asyncDispose]: async () => void stranger.close() });
  const { mapper, gateway, seen } = await start(
    {
      control: (request) => {
        // The kernel delivers nothing from elsewhere to a connected socket; the answer has the right nonce.
        stranger.send(forged(request) ?? '', gateway.asker?.port ?? 0, '127.0.0.1');
        return undefined;
      },
    },
    ['pcp'],
  );

  await until(() => expect(mapper.status().state).toBe('waiting'));

  expect(gateway.requests.length).toBeGreaterThan(0);
  expect(seen).toEqual([]);
});

test('a gateway of NAT-PMP maps the port after it refused PCP', async () => {
  const { mapper, gateway, seen } = await start({ control: natPmp });

  await until(() => expect(seen[0]).toMatchObject({ protocol: 'nat-pmp', external: '203.0.113.5:50001' }));
  expect(mapper.status().asked).toMatchObject([
    { protocol: 'pcp', outcome: { cause: 'not-spoken' } },
    { protocol: 'nat-pmp', outcome: 'mapped' },
  ]);
  await mapper.close();

  expect(gateway.requests.at(-1)).toEqual(Buffer.from('00010000a028000000000000', 'hex'));
});

describe('a gateway of UPnP', () => {
  test('of version 2 chooses the port', async () => {
    const { mapper, gateway, seen } = await start({ location: description, http: igd() }, ['upnp']);

    await until(() => expect(seen[0]).toMatchObject({ protocol: 'upnp', external: '203.0.113.5:50001' }));
    await mapper.close();

    expect(gateway.orders).toEqual([
      ...['GET /d.xml', 'GetExternalIPAddress', 'AddAnyPortMapping', 'DeletePortMapping'],
    ]);
  });

  test('of version 2 that knows no AddAnyPortMapping is asked as one of version 1', async () => {
    const http = igd({ fault: faultOn('AddAny', 401) });
    const { seen } = await start({ location: description, http }, ['upnp']);

    await until(() => expect(seen[0]).toMatchObject({ external: '203.0.113.5:41000' }));
  });

  test('of version 1 is asked for another port when ours is taken', async () => {
    const fault = (action: string, body: string) =>
      action === 'AddPortMapping' && body.includes('<NewExternalPort>41000<') ? 718 : undefined;
    const { seen } = await start({ location: description, http: igd({ version: 1, fault }) }, ['upnp']);

    await until(() => expect(seen[0]?.external).toMatch(/^203\.0\.113\.5:\d+$/));
    expect(seen[0]?.external).not.toBe('203.0.113.5:41000');
  });

  test.each<[string, GatewayBehaviour, cause: string]>([
    ['that maps for ever only', { http: igd({ fault: faultOn('AddAnyPortMapping', 725) }) }, 'lifetime'],
    ['that refuses', { http: igd({ fault: faultOn('AddAnyPortMapping', 606) }) }, 'refused'],
    ['that is always in conflict', { http: igd({ fault: faultOn('Add', 718) }) }, 'refused'],
    ['without an address', { http: igd({ external: '' }) }, 'no-external-address'],
    ['with address 0.0.0.0', { http: igd({ external: '0.0.0.0' }) }, 'no-external-address'],
    ['that sends a name for an address', { http: igd({ external: 'evil.example' }) }, 'no-external-address'],
    ['whose control URL leads elsewhere', { http: igd({ controlUrl: 'http://127.0.0.3:1/' }) }, 'bad-answer'],
    ['without a description', {}, 'bad-answer'],
    [
      'whose description is huge',
      { http: (_q, _b, response) => response.end('<a>'.repeat(100_000)) },
      'bad-answer',
    ],
    ['whose description is no XML', { http: (_q, _b, response) => response.end('Hello') }, 'bad-answer'],
    ['that hangs up', { http: (_q, _b, response) => response.destroy() }, 'bad-answer'],
  ])('%s gives no mapping', async (_what, behaviour, cause) => {
    const { mapper, seen } = await start({ location: description, ...behaviour }, ['upnp']);

    await until(() => expect(mapper.status().state).toBe('waiting'));

    expect(seen).toEqual([]);
    expect(mapper.status().asked).toMatchObject([{ outcome: { cause } }]);
  });

  test('that redirects is not followed', async () => {
    await using other = await SimulatedGateway.start({ http: igd() }, '127.0.0.3');
    const http: GatewayBehaviour['http'] = (_request, _body, response) =>
      response.writeHead(302, { Location: `http://127.0.0.3:${other.httpPort}/d.xml` }).end();
    const { mapper } = await start({ location: description, http }, ['upnp']);

    await until(() => expect(mapper.status().state).toBe('waiting'));

    expect(mapper.status().asked).toMatchObject([{ outcome: { detail: 'HTTP status 302' } }]);
    expect(other.orders).toEqual([]);
  });

  test('whose LOCATION is another host is not asked there', async () => {
    await using other = await SimulatedGateway.start({ http: igd() }, '127.0.0.3');
    const location = () => `http://127.0.0.3:${other.httpPort}/d.xml`;
    const { mapper } = await start({ location }, ['upnp']);

    await until(() => expect(mapper.status().state).toBe('waiting'));

    expect(mapper.status().drops.mismatch).toBeGreaterThan(0);
    expect(other.orders).toEqual([]);
  });
});

test('a search answered by another host is not believed', async () => {
  await using other = await SimulatedGateway.start({ location: description, http: igd() }, '127.0.0.3');
  const searchGroup = { address: '127.0.0.3', port: other.ports.ssdp };
  const { mapper, seen } = await start({}, ['upnp'], { searchGroup });

  await until(() => expect(mapper.status().state).toBe('waiting'));

  expect(seen).toEqual([]);
  expect(mapper.status().drops['foreign-source']).toBeGreaterThan(0);
});

test('where nothing listens it is known at once', async () => {
  const { mapper } = await start({ control: pcp() }, ['pcp'], {}, async (gateway) => {
    await gateway[Symbol.asyncDispose]();
    stack.splice(stack.indexOf(gateway), 1);
  });

  await until(() => expect(mapper.status().state).toBe('waiting'));
  expect(mapper.status().asked).toMatchObject([{ outcome: { cause: 'not-spoken' } }]);
});

test.each<[string, NonNullable<PortMapperOptions['gateway']>]>([
  ['there is no default gateway', async () => undefined],
  ['the gateway was not found: no table', async () => Promise.reject(new Error('no table'))],
  ['the gateway is not an IP address', async () => ({ address: 'gateway.example' })],
])('without a gateway it waits: %s', async (detail, gateway) => {
  const mapper = PortMapper.start({ ...base([]), gateway });
  stack.push(mapper);

  await until(() => expect(mapper.status()).toMatchObject({ state: 'waiting', asked: [] }));
  expect(mapper.status().detail).toBe(detail);
});

test('switched off it asks nobody', async () => {
  const gateway = vi.fn();
  const mapper = PortMapper.start({ ...base([]), gateway, mode: 'off' });

  mapper.networkChanged();
  expect(mapper.status()).toMatchObject({ state: 'off', detail: 'switched off by configuration' });
  await mapper.close();

  expect(gateway).not.toHaveBeenCalled();
});

test('a signal closes it', async () => {
  const stop = new AbortController();
  const { mapper, seen } = await start({ control: pcp() }, ['pcp'], { signal: stop.signal });
  await until(() => expect(seen).toHaveLength(1));

  stop.abort();
  await until(() => expect(mapper.status().state).toBe('closed'));

  expect(seen.at(-1)).toBeUndefined();
});

test.each([0, 65_536, 1.5, Number.NaN])('port %d is refused', (localPort) => {
  expect(() => PortMapper.start({ ...base([]), localPort })).toThrow(RangeError);
});

/** Patient: what is waited for comes by events of this process. */
function until(check: () => void): Promise<void> {
  return vi.waitFor(check, { timeout: 15_000, interval: 10 });
}

function faultOn(action: string, code: number) {
  return (asked: string) => (asked.startsWith(action) ? code : undefined);
}

function base(seen: (Mapping | undefined)[]) {
  return {
    localPort: 41_000,
    onMapping: (mapping: Mapping | undefined) => seen.push(mapping),
    log: { debug: () => {}, info: () => {}, error: (fields: unknown) => expect.fail(JSON.stringify(fields)) },
  };
}

/** A mapper and a gateway on the loopback range. `before` runs when the gateway's ports are known. */
async function start(
  behaviour: GatewayBehaviour,
  protocolOrder: readonly Protocol[] = ['pcp', 'nat-pmp', 'upnp'],
  more: Partial<PortMapperOptions> & { searchGroup?: { address: string; port: number } } = {},
  before?: (gateway: SimulatedGateway) => Promise<void>,
) {
  const gateway = await SimulatedGateway.start(behaviour);
  stack.push(gateway);
  const seen: (Mapping | undefined)[] = [];
  const announcePort = await freePort();
  const { searchGroup, ...options } = more;
  const ports = gateway.ports;
  await before?.(gateway);
  const clock = skippingClock();
  const mapper = PortMapper.start({
    ...base(seen),
    gateway: async () => ({ address: gateway.address }),
    protocolOrder,
    test: { ports, announcePort, ...(searchGroup && { searchGroup }) },
    clock,
    ...options,
  });
  stack.push(mapper);
  return { mapper, gateway, seen, announcePort, clock };
}

/** Real time that can be put forward for what compares instants. */
function skippingClock() {
  let skipped = 0;
  const now = () => performance.now() + skipped;
  return {
    now,
    skip: (ms: number) => {
      skipped += ms;
    },
    setTimer(at: number, callback: () => void) {
      const timer = setTimeout(callback, Math.max(0, Math.min(Math.ceil(at - now()), 0x7fffffff)));
      return () => clearTimeout(timer);
    },
  };
}

async function freePort(): Promise<number> {
  const socket = createSocket({ type: 'udp4', reuseAddr: true }).bind(0);
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  return port;
}
