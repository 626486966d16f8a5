import type { TransportOptions } from '@ztna/quic';

type CongestionController = NonNullable<TransportOptions['congestion']>;

/** The part of a component's configuration that concerns QUIC. Times in ms, sizes in bytes. */
export interface TransportSettings {
  readonly idleTimeoutMs: number;
  readonly keepAliveMs: number;
  readonly initialMtu: number;
  readonly maxMtu: number;
  /** Of outer connections. */
  readonly congestion?: CongestionController;
  /** Of inner connections. */
  readonly sessionCongestion?: CongestionController;
}

/**
 * Outer connections send at least this often: a restarted intermediate answers the next packet with a stateless
 * reset, so this bounds how long its peers take to notice.
 */
const OUTER_KEEP_ALIVE_MS = 1_500;
/** One control stream; the others leave room for what a later version opens, and are refused today. */
const OUTER_BIDI_STREAMS = 4;
/** A session without any path waits so long for one (design §6). */
const INNER_IDLE_MS = 120_000;
const INNER_KEEP_ALIVE_MS = 10_000;
/** What the relay prefix, QUIC's own header and AEAD tag of the outer connection take from its UDP payload. */
const RELAY_OVERHEAD = 38;
/** Measured with others: docs/adr/0009-congestion-control.md. */
const OUTER_CONGESTION = 'cubic';
const INNER_CONGESTION = 'cubic';
const INNER_PATHS = 8;
/** Each side tells the other of its paths on one (docs/protocol.md). */
const PATH_HELLO_STREAMS = 1;
const INNER_BIDI_STREAMS = 4_096;

/** Agent or connector towards an intermediate. */
export function outerClientTransport(settings: TransportSettings): TransportOptions {
  return { ...outer(settings), receiveObservedAddress: true };
}

/** Intermediate towards agents and connectors: tells each the address that it is seen under. */
export function outerServerTransport(settings: TransportSettings): TransportOptions {
  return { ...outer(settings), sendObservedAddress: true };
}

/** Agent towards a connector, end to end: the connector opens no stream. */
export function innerClientTransport(settings: TransportSettings): TransportOptions {
  return { ...inner(settings), maxBidiStreams: 0 };
}

/** Connector towards agents: one bidirectional stream per flow. */
export function innerServerTransport(settings: TransportSettings): TransportOptions {
  return { ...inner(settings), maxBidiStreams: INNER_BIDI_STREAMS };
}

function outer(settings: TransportSettings): TransportOptions {
  return {
    initialMtu: settings.initialMtu,
    congestion: settings.congestion ?? OUTER_CONGESTION,
    idleTimeoutMs: settings.idleTimeoutMs,
    keepAliveMs: Math.min(settings.keepAliveMs, OUTER_KEEP_ALIVE_MS),
    maxMtu: settings.maxMtu,
    maxBidiStreams: OUTER_BIDI_STREAMS,
    maxUniStreams: 0,
  };
}

function inner(settings: TransportSettings): TransportOptions {
  return {
    congestion: settings.sessionCongestion ?? INNER_CONGESTION,
    idleTimeoutMs: Math.max(settings.idleTimeoutMs, INNER_IDLE_MS),
    keepAliveMs: Math.min(settings.keepAliveMs, INNER_KEEP_ALIVE_MS),
    initialMtu: 1200,
    maxMtu: Math.max(1200, settings.maxMtu - RELAY_OVERHEAD),
    multipath: INNER_PATHS,
    maxUniStreams: PATH_HELLO_STREAMS,
  };
}
