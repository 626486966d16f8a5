import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import {
  importPrivateKey,
  peekSnapshot,
  readTrustBundle,
  toPem,
  verifyGrant,
  verifyPeer,
  verifySnapshot,
} from '@ztna/identity';
import { parseDuration } from '@ztna/policy';
import { parseConfiguration } from '@ztna/policy/document';
import { parseAddress, parseListenAddress, RuntimeFault, UsageError } from '@ztna/runtime';
import { agentSchema, connectorSchema, intermediateSchema, parseConfig } from '@ztna/runtime/config';
import {
  decodeControlMessage,
  decodeFlowDatagram,
  decodeFlowOpen,
  decodeFlowResult,
  decodeGrant,
  decodePathHello,
  decodeRelayDatagram,
  decodeSignedGrant,
  decodeSnapshot,
  decodeSnapshotEnvelope,
  decodeVarint,
  encodeControlMessage,
  encodeFlowDatagram,
  encodeFlowOpen,
  encodeFlowResult,
  encodeFrame,
  encodeGrant,
  encodePathHello,
  encodeRelayDatagram,
  encodeSignedGrant,
  encodeSnapshot,
  encodeSnapshotEnvelope,
  encodeVarint,
  Framer,
  fromHex,
  LIMITS,
  parseHostPort,
  parseSpiffeId,
  Reassembler,
  type Result,
  type SpiffeId,
  ZtnaError,
} from '@ztna/wire';
import { parseMapping } from '../../apps/agent/src/forward/spec.ts';
import { parseHead } from '../../apps/agent/src/proxy/http-head.ts';
import type { Parsed } from '../../apps/agent/src/proxy/parsed.ts';
import { parseGreeting, parseRequest, parseUdpHeader } from '../../apps/agent/src/proxy/socks5.ts';
import { readCertificate } from '../../packages/identity/src/certificate.ts';
import { DerError, oidText, readAll } from '../../packages/identity/src/der.ts';
import { portmapTargets } from './portmap.ts';
import { assert, type Target, typed } from './target.ts';

/** Every parser of bytes or text from outside, by the name of its corpus. */
export const targets: Readonly<Record<string, Target>> = {
  control: roundTrip(decodeControlMessage, (m) =>
    m.type === 'unknown' ? undefined : encodeControlMessage(m),
  ),
  'flow-open': roundTrip(decodeFlowOpen, encodeFlowOpen),
  'flow-result': roundTrip(decodeFlowResult, encodeFlowResult),
  grant: roundTrip((bytes) => decodeGrant(bytes), encodeGrant),
  'path-hello': roundTrip(decodePathHello, encodePathHello),
  'signed-grant': roundTrip(decodeSignedGrant, encodeSignedGrant),
  snapshot: roundTrip((bytes) => decodeSnapshot(bytes), encodeSnapshot),
  'snapshot-envelope': snapshotEnvelope,
  relay: oneSpelling(decodeRelayDatagram, encodeRelayDatagram),
  flow: oneSpelling(decodeFlowDatagram, encodeFlowDatagram),
  varint: varint,
  framer: framer,
  reassembler: reassembler,
  policy: (bytes) => void typed(parseConfiguration(text(bytes))),
  config: config,
  certificate: certificate,
  der: der,
  'peer-chain': peerChain,
  names: names,
  pem: pem,
  'socks-greeting': incremental(parseGreeting, 257),
  'socks-request': incremental(parseRequest, 262),
  'socks-udp': incremental(parseUdpHeader, 262),
  'http-head': incremental(parseHead, 16 * 1024),
  ...portmapTargets,
};

/** What was decoded can be encoded, and means the same when decoded again. */
function roundTrip<T>(
  decode: (bytes: Uint8Array) => Result<T>,
  encode: (value: T) => Uint8Array | undefined,
): Target {
  return (bytes) => {
    const before = bytes.slice();
    const first = typed(decode(bytes));
    assert(isDeepStrictEqual(bytes, before), 'the input is left alone');
    if (!first.ok) return;
    const encoded = encode(first.value);
    if (encoded === undefined) return;
    const second = decode(encoded);
    assert(second.ok, 'what was encoded is decoded');
    assert(isDeepStrictEqual(second.value, first.value), 'decode(encode(x)) is x');
    assert(isDeepStrictEqual(encode(second.value), encoded), 'encoding is canonical');
  };
}

/** Accepted bytes are exactly those that the encoder gives. */
function oneSpelling<T>(decode: (bytes: Uint8Array) => Result<T>, encode: (value: T) => Uint8Array): Target {
  return (bytes) => {
    const decoded = typed(decode(bytes));
    if (decoded.ok)
      assert(isDeepStrictEqual(Buffer.from(encode(decoded.value)), Buffer.from(bytes)), 'one spelling');
  };
}

function varint(bytes: Uint8Array): void {
  const decoded = typed(decodeVarint(bytes));
  if (!decoded.ok) return;
  const { value, size } = decoded.value;
  assert(
    isDeepStrictEqual(Buffer.from(encodeVarint(value)), Buffer.from(bytes.subarray(0, size))),
    'one spelling',
  );
}

function snapshotEnvelope(bytes: Uint8Array): void {
  roundTrip(decodeSnapshotEnvelope, encodeSnapshotEnvelope)(bytes);
  const peeked = peekSnapshot(bytes);
  assert(peeked.ok || peeked.error.code === 'malformed', 'a snapshot or a refusal');
}

/** Any chunking gives the same messages, rest and error. The first byte is the size of the chunks. */
function framer(bytes: Uint8Array): void {
  const stream = bytes.subarray(1);
  const whole = cut(stream, stream.length || 1);
  const pieces = cut(stream, (bytes[0] ?? 0) % 16 || 1);
  assert(isDeepStrictEqual(pieces, whole), 'chunks do not matter');
  if (whole.error !== undefined) return;
  const again = Buffer.concat([...whole.messages.map(encodeFrame), whole.rest]);
  assert(again.equals(stream), 'frames and rest are the stream');
}

function cut(stream: Uint8Array, size: number) {
  const framed = new Framer(300);
  const messages: Uint8Array[] = [];
  let error: string | undefined;
  for (let at = 0; at < stream.length && error === undefined; at += size) {
    framed.push(stream.subarray(at, at + size));
    for (;;) {
      const next = typed(framed.next());
      if (!next.ok) error = next.error.kind;
      if (!next.ok || next.value === undefined) break;
      assert(next.value.length <= 300, 'no message over the limit');
      messages.push(next.value);
    }
    assert(framed.buffered <= 302, 'no more held than one message');
  }
  assert(framed.finish().ok === (error === undefined && framed.buffered === 0), 'finish is true');
  return { messages, error, rest: framed.takeRest() };
}

/** `[small limits u8]`, then `[advance u8 in 10 ms, length u8, packet id u16, index|last u8, bytes]` each. */
function reassembler(bytes: Uint8Array): void {
  const options = { maxPackets: 3, maxBytes: 24, maxPacketBytes: 12, timeoutMs: 500 };
  const limits =
    (bytes[0] ?? 0) % 2 === 0
      ? options
      : {
          maxPackets: LIMITS.partialPackets,
          maxBytes: LIMITS.partialBytes,
          maxPacketBytes: LIMITS.reassembledPacket,
          timeoutMs: LIMITS.reassemblyMs,
        };
  const tested = new Reassembler(limits);
  let now = 0;
  for (let at = 1; at + 5 < bytes.length; ) {
    const [advance = 0, length = 0, high = 0, low = 0, place = 0] = bytes.subarray(at, at + 5);
    const piece = bytes.subarray(at + 5, at + 5 + Math.max(length, 1));
    at += 5 + piece.length;
    now += (advance % 64) * 10;
    const packet = tested.handleFragment(
      { packetId: high * 256 + low, index: place & 0x7f, last: place > 0x7f, bytes: piece },
      now,
    );
    assert((packet?.length ?? 0) <= limits.maxPacketBytes, 'no packet over the limit');
    const { packets, bytes: held } = tested.held;
    assert(
      packets <= limits.maxPackets && held <= limits.maxBytes && (packets === 0) === (held === 0),
      'bounds',
    );
    assert((tested.pollTimeout() ?? Infinity) > now, 'nothing is overdue');
  }
  tested.handleTimeout(now + limits.timeoutMs);
  assert(isDeepStrictEqual(tested.held, { packets: 0, bytes: 0 }), 'all time out');
}

const schemas = [agentSchema, connectorSchema, intermediateSchema];

/** The first byte says which component. */
function config(bytes: Uint8Array): void {
  const schema = schemas[(bytes[0] ?? 0) % schemas.length] ?? agentSchema;
  faults(RuntimeFault, () =>
    parseConfig(text(bytes.subarray(1)), 'ztna.yaml', '/etc/ztna/ztna.yaml', schema),
  );
}

function certificate(bytes: Uint8Array): void {
  const read = readCertificate(bytes);
  if (read === undefined) return;
  assert(Number.isFinite(read.notBeforeMs) && Number.isFinite(read.notAfterMs), 'times are times');
  assert(/^[0-9a-f]*$/.test(read.serial), 'the serial is hexadecimal');
  assert(isDeepStrictEqual(read.der, bytes), 'it is the whole input');
  const other = openssl(bytes);
  if (other === undefined) return;
  const serial = other.serialNumber.toLowerCase().replace(/^0+(?=.)/, '');
  assert(
    BigInt(`0x${read.serial}`) < 1n << 159n ? serial === read.serial : true,
    'OpenSSL reads the same serial',
  );
  assert(other.ca === read.isCa || !other.ca, 'no authority that we do not see');
}

const root = readFileSync(new URL('../../native/quic/src/fuzzing/root.der', import.meta.url));
const trust = readTrustBundle(toPem('CERTIFICATE', root));
const expected = { trust, trustDomain: 'example.test', tenant: 'default', revoked: [] };
const NOW_MS = 1_800_000_000_000;

/** `[length u16, certificate]` each: a chain as a peer presents it, in a handshake and in a grant. */
function peerChain(bytes: Uint8Array): void {
  const chain: Uint8Array[] = [];
  for (let at = 0; at + 2 <= bytes.length; ) {
    const length = (bytes[at] ?? 0) * 256 + (bytes[at + 1] ?? 0);
    chain.push(bytes.subarray(at + 2, at + 2 + length));
    at += 2 + length;
  }
  const peer = typed(verifyPeer(chain, NOW_MS, { ...expected, roles: ['agent'] }));
  assert(
    !peer.ok || peer.value.id.startsWith('spiffe://example.test/default/agent/'),
    'only who was expected',
  );
  const signed = { grant: bytes, signature: bytes.subarray(0, 64), issuerChain: chain };
  assert(!typed(verifyGrant(signed, NOW_MS, expected)).ok, 'nobody signed this');
  const audience = 'spiffe://example.test/default/agent/a' as SpiffeId;
  assert(!typed(verifySnapshot(bytes, NOW_MS, { trust, audience })).ok, 'nobody signed this either');
}

/** Short texts: ids, addresses, durations, arguments. */
function names(bytes: Uint8Array): void {
  const it = text(bytes);
  const id = typed(parseSpiffeId(it));
  assert(!id.ok || id.value === it, 'an id is spelled in one way');
  typed(parseHostPort(it));
  typed(parseDuration(it));
  const address = parseAddress(it);
  assert(!address || (address.port >= 0 && address.port < 65_536), 'ports are ports');
  assert(!parseListenAddress(it) || address !== undefined, 'an address to listen on is an address');
  faults(UsageError, () => parseMapping(it));
  faults(TypeError, () => fromHex(it));
}

function openssl(bytes: Uint8Array): X509Certificate | undefined {
  try {
    return new X509Certificate(bytes);
  } catch {
    return undefined;
  }
}

function der(bytes: Uint8Array): void {
  faults(DerError, () => {
    const elements = readAll(bytes);
    assert(
      elements.reduce((sum, element) => sum + element.bytes.length, 0) === bytes.length,
      'no byte is lost',
    );
    for (const { tag, value } of elements) if (tag === 6) oidText(value);
  });
}

function pem(bytes: Uint8Array): void {
  faults(ZtnaError, () => readTrustBundle(text(bytes)));
  try {
    importPrivateKey(text(bytes));
  } catch (error) {
    // Its contract: throws what node:crypto throws.
    assert(error instanceof Error && 'code' in error, 'an error of node:crypto');
  }
}

/** What a parser has decided stays decided with more bytes, and it decides before it has seen too many. */
function incremental<T, E>(parse: (bytes: Uint8Array) => Parsed<T, E>, most: number): Target {
  return (bytes) => {
    const all = parse(bytes);
    assert(all.type !== 'need-more' || bytes.length < most, 'decides in time');
    if (all.type === 'done') {
      assert(all.size > 0 && all.size <= Math.min(bytes.length, most), 'the size lies within the input');
      assert(parse(bytes.subarray(0, all.size - 1)).type === 'need-more', 'one byte less is not enough');
    }
    for (const length of [bytes.length >> 1, bytes.length - 1, all.type === 'done' ? all.size : 0]) {
      const part = parse(bytes.subarray(0, Math.max(length, 0)));
      assert(part.type === 'need-more' || isDeepStrictEqual(part, all), 'a decision stays');
    }
  };
}

/** Faults of this class are answers. */
function faults(kind: abstract new (...args: never[]) => Error, run: () => unknown): void {
  try {
    run();
  } catch (error) {
    if (!(error instanceof kind)) throw error;
  }
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('utf8');
}
