import type { Endpoint } from './address.ts';

export const protocols = ['pcp', 'nat-pmp', 'upnp'] as const;
export type Protocol = (typeof protocols)[number];

/** Ports on which a gateway listens; others only in tests. */
export interface GatewayPorts {
  /** PCP and NAT-PMP. */
  readonly control: number;
  readonly ssdp: number;
}

export const standardPorts: GatewayPorts = { control: 5351, ssdp: 1900 };

/** What a client needs to know of the network and of us. */
export interface ClientContext {
  readonly gateway: string;
  readonly ports: GatewayPorts;
  /** Our own address towards the gateway. */
  readonly localAddress: string;
  readonly localPort: number;
  /** Asked for, seconds. */
  readonly lifetime: number;
  /** Where SSDP searches go apart from the gateway itself. */
  readonly searchGroup: Endpoint | undefined;
  readonly random: (bytes: number) => Uint8Array;
}

/** Why a protocol gave no mapping; stable, for status and tests. */
export type FailureCause =
  /** Nobody answered in time. */
  | 'no-answer'
  /** Nothing listens there, or another protocol only. */
  | 'not-spoken'
  /** The gateway said no; the detail has its words. */
  | 'refused'
  /** It answered with something that may not be believed. */
  | 'bad-answer'
  /** It has no usable external address (yet). */
  | 'no-external-address'
  /** It maps for less than a minute, or not for a limited time at all. */
  | 'lifetime';

export interface Failure {
  readonly cause: FailureCause;
  readonly detail: string;
}

/** Datagrams and answers that were thrown away, by cause. */
export type DropCause = 'foreign-source' | 'malformed' | 'mismatch' | 'unexpected';

export interface HttpRequest {
  readonly method: 'GET' | 'POST';
  readonly address: string;
  readonly port: number;
  /** Begins with `/`. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** Largest body of an answer. */
  readonly maxBytes: number;
  /** From the request to the last byte of the answer. */
  readonly timeoutMs: number;
}

export type HttpOutcome =
  | { readonly ok: true; readonly status: number; readonly body: Uint8Array }
  | { readonly ok: false; readonly detail: string };

export type ClientOutput =
  | {
      readonly type: 'send';
      readonly via: 'control' | 'search';
      readonly to: Endpoint;
      readonly bytes: Uint8Array;
    }
  | { readonly type: 'http'; readonly id: number; readonly request: HttpRequest }
  /** A mapping is there, new or renewed. */
  | {
      readonly type: 'mapped';
      readonly external: Endpoint;
      readonly behindAnotherNat: boolean;
      readonly lifetimeMs: number;
    }
  | { readonly type: 'failed'; readonly failure: Failure }
  /** The mapping is deleted, as far as that could be done. */
  | { readonly type: 'unmapped' }
  | { readonly type: 'dropped'; readonly cause: DropCause };

/** One protocol's way to one mapping at one gateway. Sans-IO; milliseconds. */
export interface Client {
  /** Asks for the mapping, or renews it. */
  map(now: number): void;
  /** Deletes the mapping; ends with `unmapped` within 1 s, UDP protocols within `giveUpMs`. */
  unmap(now: number): void;
  handleInput(bytes: Uint8Array, from: Endpoint, now: number): void;
  /** The gateway's host said that nothing listens on the port (ICMP). */
  handleUnreachable(now: number): void;
  handleHttp(id: number, outcome: HttpOutcome, now: number): void;
  /** Whether this message, sent unasked by the gateway, says that it lost its mappings. */
  announces(bytes: Uint8Array, now: number): boolean;
  handleTimeout(now: number): void;
  pollTimeout(): number | undefined;
  pollOutput(): ClientOutput | undefined;
}
