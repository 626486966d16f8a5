import type { Connection } from './connection.ts';

/** Certificate and key of this process. */
export interface TlsIdentity {
  /** PEM, leaf first, without the root. */
  readonly certChain: string;
  /** PKCS#8 PEM, unencrypted. */
  readonly privateKey: string;
}

/** Whom this process believes. */
export interface TlsTrust {
  /** PEM bundle of roots. Only these are anchors. */
  readonly roots: string;
  /** DER revocation lists of an outside CA. */
  readonly crls?: readonly Uint8Array[];
}

/** Settings of one kind of connection. Times in milliseconds, sizes in bytes. */
export interface TransportOptions {
  /** A connection that hears nothing for so long is over. Default 30,000. */
  readonly idleTimeoutMs?: number;
  /** Time between keep-alive packets; 0, the default, sends none. */
  readonly keepAliveMs?: number;
  /** UDP payload before path-MTU discovery, 1200 or more. Default 1200. */
  readonly initialMtu?: number;
  /** Upper end of path-MTU discovery. Default 1452. */
  readonly maxMtu?: number;
  /** Streams that the peer may have open at a time. Default 100. */
  readonly maxBidiStreams?: number;
  readonly maxUniStreams?: number;
  readonly congestion?: 'cubic' | 'newreno' | 'bbr3';
  /** Tell the peer its address as we see it (draft-ietf-quic-address-discovery). */
  readonly sendObservedAddress?: boolean;
  readonly receiveObservedAddress?: boolean;
  /** Paths at a time; 0, the default, turns multipath off. */
  readonly multipath?: number;
  readonly streamWindow?: number;
  readonly connectionWindow?: number;
}

export interface ServerOptions {
  readonly alpn: readonly string[];
  readonly transport?: TransportOptions;
  /** Default true: a client without a certificate does not get through the handshake. */
  readonly requireClientCert?: boolean;
  /** When to ask for address validation (RFC 9000 §8.1.2). Default `under-load`. */
  readonly retry?: 'always' | 'never' | 'under-load';
  /** Handshakes under way at a time; more are refused. Default 1,000. */
  readonly maxHandshakes?: number;
  /** New handshakes per second of one source (IPv4 address, IPv6 /64); absent: no limit. */
  readonly maxHandshakesPerSource?: number;
}

/** Key material that parallel and restarted processes share. Absent keys are random. */
export interface EndpointKeys {
  /** 32 bytes each, current first. */
  readonly retryKeys?: readonly Uint8Array[];
  /** Master of the stateless-reset key, 32 bytes. */
  readonly resetKey?: Uint8Array;
  /** 1 to 4 bytes; needed with `cidKey`. */
  readonly serverId?: Uint8Array;
  /** Encrypts the server id inside connection ids, 16 bytes. */
  readonly cidKey?: Uint8Array;
  /** Process generation, 0 to 255. */
  readonly generation?: number;
}

export interface EndpointOptions {
  /** UDP address to bind; `[::]:PORT` serves IPv4 too. */
  readonly listen: string;
  readonly identity?: TlsIdentity;
  readonly trust: TlsTrust;
  /** Accept connections on the socket. */
  readonly server?: ServerOptions;
  /** Accept connections that arrive on virtual paths. */
  readonly innerServer?: Pick<ServerOptions, 'alpn' | 'transport'>;
  readonly keys?: EndpointKeys;
  /**
   * Longest time that the thread polls before it sleeps, µs; learned up to this bound, so that sparse traffic costs
   * nothing. 0 never polls; default 50. Without effect on one core.
   */
  readonly busyPollUs?: number;
  /** Lets connections over virtual paths have direct ones too; absent: they have none. */
  readonly direct?: DirectOptions;
}

/**
 * Where packets of direct paths may go and come from. Ranges like `192.0.2.0/24`. Never: port 0, virtual addresses.
 * Not unless in `allow`: unspecified, loopback, link-local, multicast, broadcast, reserved.
 */
export interface DirectOptions {
  /** Wins over `allow`. */
  readonly refuse?: readonly string[];
  /** Lifts what is refused by default. */
  readonly allow?: readonly string[];
  /** Addresses of this host that no direct path may begin at: those of interfaces that are left out. */
  readonly leftOut?: readonly string[];
  /** A path in use is dead when nothing is acknowledged for so long and three probe timeouts. Default 300. */
  readonly minSilenceMs?: number;
}

export interface ConnectOptions {
  /** `ip:port`, or the address of a virtual path. */
  readonly remote: string;
  /** Only selects the session ticket; the peer's identity is checked by the caller. */
  readonly serverName?: string;
  readonly alpn: readonly string[];
  readonly transport?: TransportOptions;
  /** Default 10,000. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/**
 * Two byte prefixes, 1 to 15 bytes each: `whole` precedes a payload, `fragment` precedes
 * `[packet id u16 BE, index | last u8, bytes]`.
 */
export interface FramePrefix {
  readonly whole: Uint8Array;
  readonly fragment: Uint8Array;
}

export interface ForwardOptions {
  readonly from: Connection;
  readonly to: Connection;
  /** Datagrams of `from` that begin so … */
  readonly match: FramePrefix;
  /** … go to `to` beginning so. */
  readonly rewrite: FramePrefix;
  readonly maxBytesPerSecond?: number;
}

/** Datagrams that went through, and those dropped, by cause. */
export interface ForwardStats {
  readonly forwarded: number;
  readonly bytes: number;
  readonly dropped: Readonly<Record<string, number>>;
  readonly queuedBytes: number;
}

export interface ForwardRule {
  /** Undefined once one of the connections is gone. */
  stats(): Promise<ForwardStats | undefined>;
  /** Takes effect before any datagram that arrives later. */
  remove(): void;
}

export interface VirtualPathOptions {
  readonly carrier: Connection;
  /** Prefix of what we send. */
  readonly send: FramePrefix;
  /** Prefix of what comes in. */
  readonly receive: FramePrefix;
}

/** Why a connection ended. `tls` and `transport` carry QUIC codes, `peer` and `local` application codes. */
export interface CloseInfo {
  readonly kind: 'local' | 'peer' | 'timeout' | 'reset' | 'transport' | 'tls';
  readonly code: number | undefined;
  readonly reason: string;
}

export type PathStatus = 'available' | 'backup';

export interface PathInfo {
  readonly id: number;
  readonly kind: 'direct' | 'virtual';
  readonly remote: string;
  /** IP address that packets of the path arrived at, once known. */
  readonly local?: string;
  readonly rttMs: number;
  /** Smallest round trip so far; with multipath only. */
  readonly minRttMs?: number;
  readonly mtu: number;
  readonly lostPackets: number;
  readonly sentPackets: number;
  readonly congestionWindow: number;
  readonly status: PathStatus;
  /** Nothing is acknowledged on it. */
  readonly dead: boolean;
}

interface PathFacts {
  readonly path: number;
  readonly virtual: boolean;
  /** `ip:port`, or a virtual address. */
  readonly remote: string;
  readonly local?: string;
}

/**
 * What became of a path other than the first, or of the first beside others.
 * - `opened`: it may carry data; as a backup it does so only when there is nothing better.
 * - `closed`: a direct path that died is closed at once, so that what was on its way is sent again elsewhere.
 * - `status`: the peer said how it wants the path used. A server has followed already.
 * - `dead`: nothing is acknowledged on it. If it was in use, a living path has taken over, if there is one.
 * - `alive`: a dead path answers again; it is in use only if no other path lives.
 * - `moved`: the peer sends from another address.
 */
export type PathEvent =
  | (PathFacts & { readonly type: 'opened' | 'status'; readonly backup: boolean })
  | (PathFacts & { readonly type: 'closed'; readonly reason: PathCloseReason })
  | (PathFacts & { readonly type: 'dead' | 'alive' | 'moved' });

export type PathCloseReason = 'local' | 'peer' | 'timeout' | 'dead' | 'network';

export type ConnectionEvent =
  | { readonly type: 'observed-address'; readonly address: string }
  | { readonly type: 'peer-address'; readonly address: string }
  /** Nothing heard for several probe timeouts although an answer is due. */
  | { readonly type: 'stalled' }
  | { readonly type: 'recovered' };

export interface ConnectionStats {
  readonly paths: readonly PathInfo[];
  readonly datagrams: {
    readonly sent: number;
    readonly received: number;
    readonly dropped: Readonly<Record<string, number>>;
  };
}

export interface EndpointStats {
  readonly connections: number;
  readonly udp: {
    readonly rxPackets: number;
    readonly txPackets: number;
    readonly rxCalls: number;
    readonly txCalls: number;
    readonly sendErrors: number;
  };
  /** Bytes that peers may send beyond the windows of their connections, for streams that are not read. */
  readonly unreadGranted: number;
  readonly drops: Readonly<Record<string, number>>;
  readonly threadCpuMs: number;
  readonly loops: number;
}

/** How both directions of a splice ended; bytes as seen by the stream. */
export interface SpliceResult {
  readonly sent: number;
  readonly received: number;
  readonly reason: 'finished' | 'tcp-reset' | 'stream-reset' | 'closed';
}

/** How a UDP flow ended: nothing passed any more, no socket, closed by us or with its connection. */
export interface UdpFlowEnd {
  readonly reason: 'idle' | 'error' | 'closed';
  readonly stats: UdpFlowStats;
}

/** Datagrams and payload bytes that passed: sent into the connection, received from it. */
export interface UdpFlowStats {
  readonly sent: number;
  readonly sentBytes: number;
  readonly received: number;
  readonly receivedBytes: number;
  readonly dropped: number;
}

export interface UdpFlowOptions {
  readonly connection: Connection;
  readonly prefix: FramePrefix;
  /** The flow ends when no datagram passed for so long. */
  readonly idleTimeoutMs: number;
}
