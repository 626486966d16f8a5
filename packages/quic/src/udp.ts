import type { UdpFlowEnd, UdpFlowOptions, UdpFlowStats } from './types.ts';

/** UDP between a local socket and the datagrams of a connection. */
export interface UdpFlow {
  /** Resolves when it has ended, by whichever side. */
  readonly closed: Promise<UdpFlowEnd>;
  /** Undefined once the flow has ended. */
  stats(): Promise<UdpFlowStats | undefined>;
  close(): void;
}

/** A local program that sent its first datagram; it is held until one of the two is called. */
export interface UdpPeer {
  readonly address: string;
  /** With `header: 'socks5'` the request header, RSV to PORT (RFC 1928 §7); else empty. */
  readonly header: Uint8Array;
  bind(options: UdpFlowOptions): UdpFlow;
  reject(): void;
}

export interface UdpListener {
  /** With the port that the system chose. */
  readonly address: string;
  close(): void;
}

export interface UdpListenOptions {
  readonly listen: string;
  readonly onPeer: (peer: UdpPeer) => void;
  /** Default `none`: a peer is an address. With `socks5` it is an address and a destination. */
  readonly header?: 'none' | 'socks5';
}
