/**
 * The whole of ztna/2 on one screen. Every number on the wire is given out here and nowhere else.
 *
 *   agent | connector ── outer QUIC connection, ALPN ztna/2 ──► intermediate
 *     first bidirectional stream   [length varint, ControlMessage]*          proto/ztna/v2/control.proto
 *     datagram                     [0x2E, relay id varint, inner packet]
 *     datagram, in pieces          [0x2D, relay id varint, packet id u16, index|last u8, bytes]
 *
 *   agent ── inner QUIC connection over the relay or directly, ALPN ztna-session/2 ──► connector
 *     one bidirectional stream per flow
 *       agent →                    [length varint, FlowOpen][TCP bytes]      proto/ztna/v2/flow.proto
 *       ← connector                [length varint, FlowResult][TCP bytes]
 *     one unidirectional stream per side, optional
 *       both →                     [length varint, PathHello]*               proto/ztna/v2/path.proto
 *     datagram of a UDP flow       [0x30, flow id varint, payload]
 *     datagram, in pieces          [0x31, flow id varint, packet id u16, index|last u8, bytes]
 *
 * Integers are big-endian; varints are those of RFC 9000 §16, minimal encoding only. In `index|last`
 * bit 7 says "last piece" and bits 0–6 are the index from 0. Packet ids made by a relay have the top bit set.
 */

/** First bytes of datagrams that ztna/2 uses. */
export const FRAME = {
  RELAY: 0x2e,
  RELAY_FRAGMENT: 0x2d,
  FLOW: 0x30,
  FLOW_FRAGMENT: 0x31,
} as const;

export interface FrameInfo {
  readonly name: string;
  readonly protocol: 'ztna/2' | 'ztna-session/2' | 'ztna-v1';
  readonly layout: string;
}

/** All first bytes ever given out. A number used twice does not compile (duplicate key). */
export const FRAME_REGISTRY = {
  1: { name: 'qad-legacy', protocol: 'ztna-v1', layout: '[0x01, IPv4 4, port u16]' },
  16: { name: 'register-agent', protocol: 'ztna-v1', layout: '[0x10, len u8, service id]' },
  17: { name: 'register-connector', protocol: 'ztna-v1', layout: '[0x11, len u8, service id]' },
  18: { name: 'ack', protocol: 'ztna-v1', layout: '[0x12, 0x00, len u8, service id]' },
  19: { name: 'nack', protocol: 'ztna-v1', layout: '[0x13, status u8, len u8, service id]' },
  32: { name: 'qad-ipv4', protocol: 'ztna-v1', layout: '[0x20, IPv4 4, port u16]' },
  33: { name: 'qad-ipv6', protocol: 'ztna-v1', layout: '[0x21, IPv6 16, port u16]' },
  45: {
    name: 'relay-fragment',
    protocol: 'ztna/2',
    layout: '[0x2D, relay id, packet id u16, index|last u8, bytes]',
  },
  46: { name: 'relay', protocol: 'ztna/2', layout: '[0x2E, relay id, payload]' },
  47: { name: 'service-routed', protocol: 'ztna-v1', layout: '[0x2F, len u8, service id, IP packet]' },
  48: { name: 'flow', protocol: 'ztna-session/2', layout: '[0x30, flow id, payload]' },
  49: {
    name: 'flow-fragment',
    protocol: 'ztna-session/2',
    layout: '[0x31, flow id, packet id u16, index|last u8, bytes]',
  },
} as const satisfies Record<number, FrameInfo>;

/** ztna-v1 sends bare IP packets, whose first byte is the IP version and header length: never given out. */
export const RESERVED_RANGES = [
  { from: 0x40, to: 0x4f, why: 'bare IPv4 packet of ztna-v1' },
  { from: 0x60, to: 0x6f, why: 'bare IPv6 packet of ztna-v1' },
] as const;

export const ALPN = {
  /** Agent or connector ↔ intermediate. */
  CONTROL: 'ztna/2',
  /** Agent ↔ connector, end to end. */
  SESSION: 'ztna-session/2',
  /** Enrolment through an intermediate, without a certificate. Reserved. */
  ENROLL: 'ztna-enroll/1',
  /** The earlier system. Reserved. */
  V1: 'ztna-v1',
} as const;

/**
 * Codes of stream resets that are no errors; they share the numbers of `ErrorCode` in control.proto. The engine knows
 * them too (native/quic/src/engine/streams.rs).
 */
export const STREAM_CODE = {
  /** The TCP connection at the other end was reset. */
  FLOW_RESET: 24,
} as const;

/** Protocol versions that this code speaks, in order of preference. */
export const VERSIONS: readonly number[] = [2];

/** Optional behaviours offered in Hello. A feature is used only when both sides offer it. */
export const FEATURES = {
  /** AttachPath: join a session through another or a restarted intermediate. */
  ATTACH_PATH: 'attach-path',
  /** ExtendGrant and GrantUpdate on a live session. */
  EXTEND_GRANT: 'extend-grant',
  /** Datagrams in pieces (0x2D, 0x31). */
  FRAGMENTS: 'fragments',
} as const;

/** Conditions that a grant may require its reader to understand. */
export const GRANT_FEATURES: ReadonlySet<string> = new Set<string>();

/** Conditions that a snapshot may require its reader to understand. */
export const SNAPSHOT_FEATURES: ReadonlySet<string> = new Set<string>();

/** What a signature covers before the signed bytes, so that one cannot be used for the other. */
export const SIGNATURE_CONTEXT = { GRANT: 'ztna/2 grant\0', SNAPSHOT: 'ztna/2 snapshot\0' } as const;

/** Sizes in bytes, counts, and times in milliseconds (names end in Ms). */
export const LIMITS = {
  /** One ControlMessage, without its length prefix. */
  controlMessage: 64 * 1024,
  /** One FlowOpen or FlowResult, without its length prefix. */
  flowHeader: 4 * 1024,
  /** One PathHello, without its length prefix. */
  pathHello: 256,
  /** PathHellos of one side within a minute; more are not read. */
  pathHellosPerMinute: 30,
  /** Addresses that one side shows to the other. */
  candidates: 16,
  /** One SnapshotEnvelope. */
  snapshotEnvelope: 4 * 1024 * 1024,
  /** The Snapshot in it: leaves room for signature and signer. */
  snapshot: 4 * 1024 * 1024 - 16 * 1024,
  /** Relay and flow ids are 1 to this: at most four bytes as a varint. */
  relayId: 0x3fff_ffff,
  flowId: 0x3fff_ffff,
  /** Pieces of one packet: seven bits of index. */
  fragmentsPerPacket: 128,
  /** A packet put together from pieces. */
  reassembledPacket: 65_535,
  /** Packets in pieces held at once, per relay id or flow id. */
  partialPackets: 64,
  /** Bytes of packets in pieces held at once, per relay id or flow id. */
  partialBytes: 256 * 1024,
  /** Short, because packet ids come round after 32,768 packets. */
  reassemblyMs: 500,
  /** From the end of the handshake to the peer's Hello. */
  helloMs: 5_000,
  /** From the opening of a flow's stream to its whole FlowOpen. */
  flowOpenMs: 5_000,
  /** From SessionOffer to SessionAnswer. */
  sessionAnswerMs: 5_000,
  /** UTF-8 bytes of a text for people. */
  text: 1_024,
  /** Lists of control messages and grants: together they stay below controlMessage. */
  versions: 16,
  features: 32,
  services: 256,
  labels: 64,
  connectors: 64,
  alternatives: 64,
  /** Elements of one list in a snapshot. */
  snapshotList: 65_536,
  /** Certificates of an issuer's chain, bytes of each, bytes of a signature. */
  chain: 3,
  certificate: 8 * 1024,
  signature: 1_024,
} as const;
