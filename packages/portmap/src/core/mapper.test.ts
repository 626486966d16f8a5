import { expect, test } from 'vitest';
import { parseIp } from './address.ts';
import { type Protocol, protocols } from './client.ts';
import { closeMs, MapperCore, type MapperOutput, retryMs, wantedRetryMs } from './mapper.ts';

const gateway = '192.168.1.1';
const attachment = {
  gateway,
  localAddress: '192.168.1.20',
  ports: { control: 5351, ssdp: 1900 },
  searchGroup: undefined,
};

test('silence ends within 3 s, and it is tried again after ten minutes', () => {
  const mapper = attached();

  mapper.advance(2999);
  expect(mapper.core.status.state).toBe('asking');
  mapper.advance(1);

  expect(mapper.core.status.asked.map(({ protocol, outcome }) => [protocol, outcome])).toEqual([
    ['pcp', { cause: 'no-answer', detail: 'no answer' }],
    ['nat-pmp', { cause: 'no-answer', detail: 'no answer' }],
    ['upnp', { cause: 'no-answer', detail: 'no gateway answers the search' }],
  ]);
  expect(mapper.sent.map(([at, , bytes]) => `${at} ${bytes[0]}`)).toEqual([
    ...['0 2', '250 2', '750 2', '900 0', '1150 0', '1650 0'],
    ...['1800 77', '1800 77', '2100 77', '2100 77'],
  ]);
  mapper.outputs.length = 0;
  mapper.advance(retryMs);
  expect(mapper.outputs).toEqual([{ type: 'lookup' }]);
});

test('a new use for a mapping has it tried again a minute after silence, and not each time', () => {
  const mapper = attached();
  mapper.input({ type: 'wanted' });
  mapper.advance(3000);
  mapper.outputs.length = 0;

  for (let i = 0; i < 10; i++) mapper.input({ type: 'wanted' });
  mapper.advance(wantedRetryMs - 1);
  expect(mapper.outputs).toEqual([]);
  mapper.advance(1);
  expect(mapper.outputs).toEqual([{ type: 'lookup' }]);

  mapper.input({ type: 'detached', detail: 'no gateway' });
  mapper.outputs.length = 0;
  mapper.advance(5 * wantedRetryMs);
  expect(mapper.outputs).toEqual([]);
  for (let i = 0; i < 10; i++) mapper.input({ type: 'wanted' });
  expect(mapper.outputs).toEqual([{ type: 'lookup' }]);
});

test('a new use for a mapping that is there asks nobody', () => {
  const mapper = attached();
  mapper.answer(pcpMap({ lifetime: 3600 }));
  mapper.advance(2 * wantedRetryMs);
  mapper.outputs.length = 0;
  mapper.input({ type: 'wanted' });
  expect(mapper.outputs).toEqual([]);
});

test('a port on which nothing listens costs no time', () => {
  const mapper = attached();

  mapper.input({ type: 'unreachable' });
  mapper.input({ type: 'unreachable' });

  expect(mapper.core.status.asked.map(({ outcome }) => outcome)).toEqual([
    { cause: 'not-spoken', detail: 'nothing listens on the port' },
    { cause: 'not-spoken', detail: 'nothing listens on the port' },
    'asking',
  ]);
});

test('an IPv6 gateway is asked by PCP alone', () => {
  const mapper = attached({ ...attachment, gateway: 'fe80::1%eth0', localAddress: '2001:db8::20' });
  mapper.advance(1000);

  expect(mapper.core.status).toMatchObject({ state: 'waiting', asked: [{ protocol: 'pcp' }] });
});

test('a mapping is renewed at half of its lifetime', () => {
  const mapper = attached();
  mapper.answer(pcpMap({ lifetime: 600 }));
  expect(mapper.mapping()).toMatchObject({ protocol: 'pcp', external: { port: 50_001 }, expiresAt: 600_000 });
  mapper.sent.length = 0;

  mapper.advance(299_999);
  expect(mapper.sent).toEqual([]);
  mapper.advance(1);
  expect(mapper.sent).toHaveLength(1);
  mapper.answer(pcpMap({ lifetime: 600, epoch: 300 }));

  expect(mapper.mapping()).toMatchObject({ expiresAt: 900_000 });
});

test('a renewal asks for the port that it has', () => {
  const mapper = attached();
  mapper.answer(pcpMap({ lifetime: 600 }));
  mapper.advance(300_000);

  const [, , request = new Uint8Array()] = mapper.sent.at(-1) ?? [];
  expect(Buffer.from(request).readUInt16BE(42)).toBe(50_001);
});

test('a mapping that cannot be renewed is kept until it expires, then everything is asked anew', () => {
  const mapper = attached();
  mapper.answer(pcpMap({ lifetime: 600 }));

  mapper.advance(599_999);
  expect(mapper.mapping()).toBeDefined();
  // At 300 s, then at half of what is left, and not more often than each 10 s.
  const renewals = mapper.sent.filter(([at], i) => at - (mapper.sent[i - 1]?.[0] ?? 0) > 5000);
  expect(renewals.map(([at]) => Math.round(at / 1000))).toEqual([300, 450, 526, 563, 582, 593]);
  mapper.outputs.length = 0;
  mapper.advance(1);

  expect(mapper.outputs).toEqual([{ type: 'mapping', mapping: undefined }, { type: 'lookup' }]);
});

test.each([
  ['another nonce', { nonce: new Uint8Array(12) }],
  ['another internal port', { internalPort: 1 }],
  ['another protocol', { protocol: 6 }],
])('an answer with %s is dropped and counted', (_what, change) => {
  const mapper = attached();

  mapper.answer(pcpMap({ lifetime: 600, ...change }));

  expect(mapper.mapping()).toBeUndefined();
  expect(mapper.core.status).toMatchObject({ state: 'asking', drops: { mismatch: 1 } });
});

test.each([
  ['another address', { address: '192.168.1.2', port: 5351 }],
  ['another port', { address: gateway, port: 5352 }],
])('an answer from %s is dropped and counted', (_what, from) => {
  const mapper = attached();

  mapper.answer(pcpMap({ lifetime: 600 }), from);

  expect(mapper.mapping()).toBeUndefined();
  expect(mapper.core.status.drops['foreign-source']).toBe(1);
});

test.each([
  ['the lifetime is 0', { lifetime: 0 }, 'lifetime'],
  ['the lifetime is seconds', { lifetime: 59 }, 'lifetime'],
  ['there is no external address', { lifetime: 600, external: '0.0.0.0' }, 'no-external-address'],
  ['the external port is 0', { lifetime: 600, externalPort: 0 }, 'bad-answer'],
  ['the gateway refuses', { lifetime: 600, result: 2 }, 'refused'],
])('the next protocol is asked when %s', (_what, answer, cause) => {
  const mapper = attached();

  mapper.answer(pcpMap(answer));

  expect(mapper.core.status.asked).toMatchObject([
    { protocol: 'pcp', outcome: { cause } },
    { protocol: 'nat-pmp' },
  ]);
});

test('no lifetime beyond a day is believed', () => {
  const mapper = attached();
  mapper.answer(pcpMap({ lifetime: 0xffffffff }));

  expect(mapper.mapping()?.expiresAt).toBe(86_400_000);
});

test('an external address that is private is told as such', () => {
  const mapper = attached();
  mapper.answer(pcpMap({ lifetime: 600, external: '100.64.1.1' }));

  expect(mapper.mapping()).toMatchObject({ behindAnotherNat: true });
});

test('a gateway of NAT-PMP alone is asked the address, then the mapping', () => {
  const mapper = attached();
  mapper.answer(hex('00 81 0001 00000007'));
  mapper.answer(hex('00 80 0000 00000007 cb007105'));
  mapper.answer(hex('00 81 0000 00000007 a028 c351 00000e10'));

  expect(mapper.mapping()).toMatchObject({
    protocol: 'nat-pmp',
    external: { address: '203.0.113.5', port: 50_001 },
    expiresAt: 3_600_000,
  });
});

test.each([
  ['another internal port', '00 81 0000 00000007 a029 c351 00000e10', 'mismatch'],
  ['the address again', '00 80 0000 00000007 cb007105', 'unexpected'],
  ['a refusal of the address', '00 80 0002 00000007', 'unexpected'],
  ['a fragment', '00 81 0000 00000007', 'malformed'],
] as const)('NAT-PMP: %s in place of the mapping is dropped and counted', (_what, bytes, cause) => {
  const mapper = attached();
  mapper.answer(hex('00 81 0001 00000007'));
  mapper.answer(hex('00 80 0000 00000007 cb007105'));

  mapper.answer(hex(bytes));

  expect(mapper.mapping()).toBeUndefined();
  expect(mapper.core.status).toMatchObject({ state: 'asking', drops: { [cause]: 1 } });
});

test('NAT-PMP: a late answer to the mapping is none to its deletion', () => {
  const mapper = attached();
  mapper.answer(hex('00 81 0001 00000007'));
  mapper.answer(hex('00 80 0000 00000007 cb007105'));
  mapper.answer(hex('00 81 0000 00000007 a028 c351 00000e10'));

  mapper.input({ type: 'close' });
  mapper.answer(hex('00 81 0000 00000007 a028 c351 00000e10'));
  expect(mapper.core.status.state).toBe('closing');
  mapper.answer(hex('00 81 0000 00000007 a028 0000 00000000'));

  expect(mapper.core.status.state).toBe('closed');
});

test('UPnP: an answer to an order that is no longer awaited is dropped and counted', () => {
  const mapper = attached(attachment, ['upnp']);
  const target = 'urn:schemas-upnp-org:device:InternetGatewayDevice:1';
  const found = Buffer.from(`HTTP/1.1 200 OK\r\nST: ${target}\r\nLOCATION: http://${gateway}/d\r\n\r\n`);
  mapper.input({ type: 'datagram', via: 'search', bytes: found, from: { address: gateway, port: 1900 } });
  const service =
    '<service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType><controlURL>/c</controlURL></service>';
  const address =
    '<GetExternalIPAddressResponse><NewExternalIPAddress>203.0.113.5</NewExternalIPAddress></GetExternalIPAddressResponse>';
  mapper.body(1, `<root><device><serviceList>${service}</serviceList></device></root>`);
  mapper.body(2, `<E><Body>${address}</Body></E>`);
  mapper.body(3, '<E><Body><AddPortMappingResponse/></Body></E>');
  expect(mapper.mapping()).toMatchObject({ protocol: 'upnp', external: { port: 41_000 } });

  for (let i = 0; i < 2; i++) {
    mapper.input({ type: 'network-changed' });
    mapper.input({ type: 'attached', attachment });
  }
  mapper.body(4, `<E><Body>${address.replaceAll('203.0.113.5', '0.0.0.0')}</Body></E>`);

  expect(mapper.core.status).toMatchObject({ asked: [{ outcome: 'mapped' }], drops: { unexpected: 1 } });
});

test('an announcement of a restart leads to a renewal, one of an older state does not', () => {
  const mapper = attached();
  mapper.answer(pcpMap({ lifetime: 600, epoch: 5000 }));
  mapper.advance(60_000);
  mapper.sent.length = 0;
  const announce = (epoch: number, address = gateway) => {
    const bytes = hex('02 80 00 00 00000000 00000000 000000000000000000000000');
    new DataView(bytes.buffer).setUint32(8, epoch);
    mapper.input({ type: 'datagram', via: 'announce', bytes, from: { address, port: 5351 } });
  };

  announce(5060);
  announce(0, '192.168.1.2');
  expect(mapper.sent).toEqual([]);
  announce(0);

  expect(mapper.sent).toHaveLength(1);
});

test('a changed network drops the mapping, the same one only renews it', () => {
  const mapper = attached();
  mapper.answer(pcpMap({ lifetime: 600 }));
  mapper.sent.length = 0;

  mapper.input({ type: 'network-changed' });
  mapper.input({ type: 'attached', attachment });
  expect(mapper.mapping()).toBeDefined();
  expect(mapper.sent).toHaveLength(1);
  mapper.input({ type: 'network-changed' });
  mapper.input({ type: 'attached', attachment: { ...attachment, localAddress: '192.168.1.21' } });

  expect(mapper.mapping()).toBeUndefined();
  expect(mapper.core.status.state).toBe('asking');
});

test('without a gateway the mapping is gone', () => {
  const mapper = attached();
  mapper.answer(pcpMap({ lifetime: 600 }));

  mapper.input({ type: 'network-changed' });
  mapper.input({ type: 'detached', detail: 'none' });

  expect(mapper.core.status).toMatchObject({ state: 'waiting', detached: 'none', mapping: undefined });
});

test('closing deletes the mapping with its nonce', () => {
  const mapper = attached();
  mapper.answer(pcpMap({ lifetime: 600 }));

  mapper.input({ type: 'close' });
  const [, , request = new Uint8Array()] = mapper.sent.at(-1) ?? [];
  expect(Buffer.from(request).readUInt32BE(4)).toBe(0);
  expect(request.subarray(24, 36)).toEqual(nonce);
  expect(mapper.core.status.state).toBe('closing');
  mapper.answer(pcpMap({ lifetime: 600 }));
  expect(mapper.core.status).toMatchObject({ state: 'closing', drops: { unexpected: 1 } });
  mapper.answer(pcpMap({ lifetime: 0 }));

  expect(mapper.core.status.state).toBe('closed');
  expect(mapper.outputs.slice(-2)).toEqual([{ type: 'mapping', mapping: undefined }, { type: 'closed' }]);
});

test('closing ends in time when the gateway is silent', () => {
  const mapper = attached();
  mapper.answer(pcpMap({ lifetime: 600 }));

  mapper.input({ type: 'close' });
  mapper.advance(closeMs);

  expect(mapper.core.status.state).toBe('closed');
  expect(mapper.core.pollTimeout()).toBeUndefined();
});

const nonce = Uint8Array.from({ length: 12 }, (_, i) => i + 1);

function hex(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
}

interface PcpAnswer {
  readonly lifetime: number;
  readonly epoch?: number;
  readonly result?: number;
  readonly nonce?: Uint8Array;
  readonly protocol?: number;
  readonly internalPort?: number;
  readonly externalPort?: number;
  readonly external?: string;
}

function pcpMap(answer: PcpAnswer): Uint8Array {
  const bytes = Buffer.alloc(60);
  bytes.set([2, 0x81, 0, answer.result ?? 0]);
  bytes.writeUInt32BE(answer.lifetime, 4);
  bytes.writeUInt32BE(answer.epoch ?? 0, 8);
  bytes.set(answer.nonce ?? nonce, 24);
  bytes[36] = answer.protocol ?? 17;
  bytes.writeUInt16BE(answer.internalPort ?? 41_000, 40);
  bytes.writeUInt16BE(answer.externalPort ?? 50_001, 42);
  bytes.set(parseIp(answer.external ?? '203.0.113.5') ?? [], 44);
  return bytes;
}

/** A mapper in virtual time, attached to a network. */
function attached(network = attachment, order: readonly Protocol[] = protocols) {
  const core = new MapperCore({
    localPort: 41_000,
    lifetime: 7200,
    order,
    random: (length) => nonce.slice(0, length),
  });
  const outputs: MapperOutput[] = [];
  const sent: [at: number, to: string, bytes: Uint8Array][] = [];
  let now = 0;
  const drain = () => {
    for (let output = core.pollOutput(); output; output = core.pollOutput()) {
      if (output.type === 'send') sent.push([now, output.to.address, output.bytes]);
      else outputs.push(output);
    }
  };
  const input = (
    ...[event]: Parameters<MapperCore['handleInput']> extends [infer I, number] ? [I] : never
  ) => {
    core.handleInput(event, now);
    drain();
  };
  const advance = (ms: number) => {
    const end = now + ms;
    for (let steps = 0; (core.pollTimeout() ?? Infinity) <= end; steps++) {
      if (steps > 1000) throw new Error('the core does not get on');
      now = Math.max(now, core.pollTimeout() ?? now);
      core.handleTimeout(now);
      drain();
    }
    now = end;
  };
  const answer = (bytes: Uint8Array, from = { address: gateway, port: 5351 }) =>
    input({ type: 'datagram', via: 'control', bytes, from });
  const body = (id: number, text: string) =>
    input({ type: 'http', id, outcome: { ok: true, status: 200, body: Buffer.from(text) } });
  drain();
  input({ type: 'attached', attachment: network });
  return { core, outputs, sent, input, advance, answer, body, mapping: () => core.status.mapping };
}
