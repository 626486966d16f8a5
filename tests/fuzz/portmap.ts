// Properties of packages/portmap: what gateways, and whoever pretends to be one, may send.
import { isIP } from 'node:net';
import { parseIp } from '../../packages/portmap/src/core/address.ts';
import { protocols } from '../../packages/portmap/src/core/client.ts';
import { decodeDescription, urlAt } from '../../packages/portmap/src/core/description.ts';
import { MapperCore, type MapperInput, type MapperOutput } from '../../packages/portmap/src/core/mapper.ts';
import { decodeNatPmpResponse } from '../../packages/portmap/src/core/nat-pmp-codec.ts';
import { decodePcpResponse } from '../../packages/portmap/src/core/pcp-codec.ts';
import { decodeAnswer } from '../../packages/portmap/src/core/soap.ts';
import { decodeSearchAnswer } from '../../packages/portmap/src/core/ssdp.ts';
import { parseXml } from '../../packages/portmap/src/core/xml.ts';
import { assert, type Target, typed } from './target.ts';

const gateway = '192.168.1.1';

export const portmapTargets: Readonly<Record<string, Target>> = {
  'portmap-pcp': (bytes) => void typed(decodePcpResponse(bytes)),
  'portmap-nat-pmp': (bytes) => void typed(decodeNatPmpResponse(bytes)),
  'portmap-xml': xml,
  'portmap-ssdp': search,
  'portmap-core': core,
};

/** Descriptions and SOAP answers are made of it. */
function xml(bytes: Uint8Array): void {
  typed(parseXml(bytes));
  const answer = typed(decodeAnswer(bytes, 'AddAnyPortMapping'));
  if (answer.ok && answer.value.type === 'fault') {
    assert(/^[\x20-\x7e]*$/.test(answer.value.detail), "a gateway's words are printable");
  }
  const description = typed(decodeDescription(bytes));
  if (!description.ok) return;
  assert(description.value.services.length > 0, 'never no service');
  for (const { controlUrl } of description.value.services) url(controlUrl, description.value.urlBase);
}

function search(bytes: Uint8Array): void {
  const answer = typed(decodeSearchAnswer(bytes));
  if (answer.ok) url(answer.value.location);
}

function url(text: string, base = `http://${gateway}/`): void {
  const place = urlAt(gateway, text, base);
  if (!place) return;
  assert(
    place.path.startsWith('/') && /^[\x21-\x7e]+$/.test(place.path),
    'a path that a request line can carry',
  );
  assert(place.port >= 0 && place.port < 65536, 'a port');
}

/** `[which protocols u8]`, then `[what u8, advance u8 in 20 ms, length u8, bytes]` each. */
function core(bytes: Uint8Array): void {
  const tested = new MapperCore({
    localPort: 41_000,
    lifetime: 7200,
    order: protocols.filter((_, i) => (((bytes[0] ?? 0) >> i) & 1) === 0),
    random: (length) => new Uint8Array(length),
  });
  const asked: number[] = [];
  let now = 0;
  const settle = () => {
    for (let steps = 0; ; steps++) {
      assert(steps < 64, 'an input has a bounded effect');
      const output = tested.pollOutput();
      if (!output) break;
      checkOutput(output, now, asked);
    }
  };
  const pass = (until: number) => {
    for (let steps = 0; (tested.pollTimeout() ?? Infinity) <= until; steps++) {
      assert(steps < 200, 'time does not stand still');
      now = Math.max(now, tested.pollTimeout() ?? now);
      tested.handleTimeout(now);
      settle();
    }
    now = until;
  };
  const give = (input: MapperInput) => {
    tested.handleInput(input, now);
    settle();
  };
  give(attached(gateway));
  for (let at = 1; at + 2 < bytes.length; ) {
    const [what = 0, advance = 0, length = 0] = bytes.subarray(at, at + 3);
    const piece = bytes.subarray(at + 3, at + 3 + length);
    at += 3 + length;
    pass(now + advance * 20);
    give(inputOf(what, piece, asked));
  }
  give({ type: 'close' });
  pass(now + 1000);
  assert(tested.status.state === 'closed' && tested.status.mapping === undefined, 'closes in time');
}

function attached(address: string): MapperInput {
  const ports = { control: 5351, ssdp: 1900 };
  return {
    type: 'attached',
    attachment: { gateway: address, localAddress: '192.168.1.20', ports, searchGroup: undefined },
  };
}

function inputOf(what: number, bytes: Uint8Array, asked: readonly number[]): MapperInput {
  const from = { address: gateway, port: 5351 };
  switch (what % 8) {
    case 0:
    case 1:
      return { type: 'datagram', via: 'control', bytes, from };
    case 2:
      return { type: 'datagram', via: 'search', bytes, from };
    case 3:
      return { type: 'datagram', via: 'announce', bytes, from };
    case 4:
      return { type: 'unreachable' };
    case 5:
      return { type: 'http', id: asked.at(-1) ?? 0, outcome: { ok: true, status: 200, body: bytes } };
    case 6:
      return { type: 'network-changed' };
    default:
      return attached(what > 127 ? gateway : '192.168.1.254');
  }
}

function checkOutput(output: MapperOutput, now: number, asked: number[]): void {
  if (output.type === 'send') assert(output.to.address.startsWith('192.168.1.'), 'asks the gateway alone');
  if (output.type === 'http') {
    assert(output.request.address.startsWith('192.168.1.'), 'asks the gateway alone');
    asked.push(output.id);
  }
  if (output.type !== 'mapping' || !output.mapping) return;
  const { external, expiresAt } = output.mapping;
  assert(isIP(external.address) !== 0 && parseIp(external.address) !== undefined, 'an address');
  assert(external.port > 0 && external.port < 65536, 'a port');
  assert(expiresAt >= now + 60_000 && expiresAt <= now + 86_400_000, 'a lifetime within its bounds');
}
