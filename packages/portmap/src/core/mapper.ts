import { type Endpoint, isV4, parseIp, sameAddress } from './address.ts';
import type {
  Client,
  ClientContext,
  ClientOutput,
  DropCause,
  Failure,
  HttpOutcome,
  HttpRequest,
  Protocol,
} from './client.ts';
import { NatPmpClient } from './nat-pmp.ts';
import { PcpClient } from './pcp.ts';
import { UpnpClient } from './upnp.ts';

/** After a round in which no protocol gave a mapping. */
export const retryMs = 10 * 60_000;
/** The same when somebody has a new use for a mapping. */
export const wantedRetryMs = 60_000;
/** Between attempts to renew, at least. */
export const leastRenewMs = 10_000;
/** For the deletion when the mapper is closed. */
export const closeMs = 1000;

/** The network as the shell found it. */
export type Attachment = Pick<ClientContext, 'gateway' | 'ports' | 'localAddress' | 'searchGroup'>;

export interface CoreMapping {
  readonly protocol: Protocol;
  readonly external: Endpoint;
  readonly internalPort: number;
  /** On the scale of `now`. */
  readonly expiresAt: number;
  readonly behindAnotherNat: boolean;
}

export type MapperInput =
  /** The answer to `lookup`. */
  | { readonly type: 'attached'; readonly attachment: Attachment }
  | { readonly type: 'detached'; readonly detail: string }
  | { readonly type: 'network-changed' }
  /** There is a new use for a mapping. */
  | { readonly type: 'wanted' }
  | {
      readonly type: 'datagram';
      readonly via: 'control' | 'search' | 'announce';
      readonly bytes: Uint8Array;
      readonly from: Endpoint;
    }
  | { readonly type: 'unreachable' }
  | { readonly type: 'http'; readonly id: number; readonly outcome: HttpOutcome }
  | { readonly type: 'close' };

export type MapperOutput =
  /** Find the gateway, open sockets anew, answer with `attached` or `detached`. */
  | { readonly type: 'lookup' }
  | Extract<ClientOutput, { type: 'send' }>
  | { readonly type: 'http'; readonly id: number; readonly request: HttpRequest }
  /** Each change, renewals included; undefined when it is lost. */
  | { readonly type: 'mapping'; readonly mapping: CoreMapping | undefined }
  /** For the log. */
  | { readonly type: 'failed'; readonly protocol: Protocol; readonly failure: Failure }
  | { readonly type: 'closed' };

export interface MapperStatus {
  readonly state: 'looking' | 'asking' | 'mapped' | 'waiting' | 'closing' | 'closed';
  readonly attachment: Attachment | undefined;
  /** Why there is no gateway. */
  readonly detached: string | undefined;
  /** Of the last round and of renewals, in the order in which they were asked. */
  readonly asked: readonly { readonly protocol: Protocol; readonly outcome: 'asking' | 'mapped' | Failure }[];
  readonly mapping: CoreMapping | undefined;
  /** When it is asked again, on the scale of `now`. */
  readonly nextAt: number | undefined;
  readonly drops: Readonly<Record<DropCause, number>>;
}

export interface MapperCoreOptions extends Pick<ClientContext, 'localPort' | 'lifetime' | 'random'> {
  readonly order: readonly Protocol[];
}

/** Keeps one mapping: asks the protocols in turn, renews what one of them gave, begins again when it is lost. */
export class MapperCore {
  readonly #options: MapperCoreOptions;
  readonly #outputs: MapperOutput[] = [];
  readonly #asked = new Map<Protocol, 'asking' | 'mapped' | Failure>();
  readonly #drops: Record<DropCause, number> = {
    'foreign-source': 0,
    malformed: 0,
    mismatch: 0,
    unexpected: 0,
  };
  readonly #requests = new Map<number, { readonly client: Client; readonly id: number }>();
  #nextRequest = 1;
  #activity: 'looking' | 'asking' | 'waiting' | 'closing' | 'closed' = 'looking';
  #attachment: Attachment | undefined;
  #detached: string | undefined;
  #left: Protocol[] = [];
  #protocol: Protocol | undefined;
  #client: Client | undefined;
  #mapping: CoreMapping | undefined;
  /** When to renew, to try again, or to end waiting for the deletion. */
  #nextAt: number | undefined;
  /** The last round gave no mapping. */
  #failedAt = Number.NEGATIVE_INFINITY;
  #lastRenewal = Number.NEGATIVE_INFINITY;

  constructor(options: MapperCoreOptions) {
    this.#options = options;
    this.#outputs.push({ type: 'lookup' });
  }

  get status(): MapperStatus {
    return {
      state: this.#activity === 'waiting' && this.#mapping ? 'mapped' : this.#activity,
      attachment: this.#attachment,
      detached: this.#detached,
      asked: [...this.#asked].map(([protocol, outcome]) => ({ protocol, outcome })),
      mapping: this.#mapping,
      nextAt: this.#nextAt,
      drops: { ...this.#drops },
    };
  }

  handleInput(input: MapperInput, now: number): void {
    if (this.#activity === 'closed') return;
    switch (input.type) {
      case 'attached':
        return this.#activity === 'looking' ? this.#attach(input.attachment, now) : undefined;
      case 'detached':
        return this.#activity === 'looking' ? this.#detach(input.detail, now) : undefined;
      case 'network-changed':
        return this.#activity === 'closing' ? undefined : this.#look();
      case 'wanted':
        return this.#want(now);
      case 'datagram':
        if (input.via === 'announce') this.#handleAnnouncement(input.bytes, input.from, now);
        else if (this.#takes(input.via)) this.#client?.handleInput(input.bytes, input.from, now);
        else this.#drops.unexpected++;
        return this.#carryOut(now);
      case 'unreachable':
        if (this.#takes('control')) this.#client?.handleUnreachable(now);
        return this.#carryOut(now);
      case 'http': {
        const request = this.#requests.get(input.id);
        this.#requests.delete(input.id);
        if (request && request.client === this.#client)
          request.client.handleHttp(request.id, input.outcome, now);
        return this.#carryOut(now);
      }
      case 'close':
        return this.#close(now);
    }
  }

  handleTimeout(now: number): void {
    if (this.#activity === 'closed') return;
    if (this.#mapping && now >= this.#mapping.expiresAt && this.#activity !== 'closing') {
      this.#lose();
      return this.#look();
    }
    if (this.#nextAt !== undefined && now >= this.#nextAt) this.#handleNext(now);
    this.#client?.handleTimeout(now);
    this.#carryOut(now);
  }

  pollTimeout(): number | undefined {
    if (this.#activity === 'closed') return undefined;
    const expiry = this.#activity === 'closing' ? undefined : this.#mapping?.expiresAt;
    const instants = [this.#nextAt, expiry, this.#client?.pollTimeout()];
    const next = Math.min(...instants.filter((at) => at !== undefined));
    return Number.isFinite(next) ? next : undefined;
  }

  pollOutput(): MapperOutput | undefined {
    return this.#outputs.shift();
  }

  /** The mapping stays until it is known whether the network is still the same. */
  #look(): void {
    if (!this.#mapping) this.#client = undefined;
    this.#activity = 'looking';
    this.#nextAt = undefined;
    this.#outputs.push({ type: 'lookup' });
  }

  #attach(attachment: Attachment, now: number): void {
    const before = this.#attachment;
    this.#attachment = attachment;
    this.#detached = undefined;
    const same = before?.gateway === attachment.gateway && before.localAddress === attachment.localAddress;
    if (same && this.#mapping && this.#client) {
      this.#activity = 'waiting';
      return this.#renew(now);
    }
    this.#lose();
    this.#asked.clear();
    const ip = parseIp(attachment.gateway);
    // NAT-PMP and UPnP's mappings are of IPv4.
    this.#left = this.#options.order.filter(
      (protocol) => protocol === 'pcp' || (ip !== undefined && isV4(ip)),
    );
    this.#activity = 'asking';
    this.#askNext(now);
  }

  #detach(detail: string, now: number): void {
    this.#attachment = undefined;
    this.#detached = detail;
    this.#asked.clear();
    this.#lose();
    this.#wait(now);
  }

  /** A gateway may have come, or learned to map ports, since it was asked in vain. */
  #want(now: number): void {
    if (this.#mapping || this.#activity !== 'waiting') return;
    this.#nextAt = this.#failedAt + wantedRetryMs;
    if (this.#nextAt <= now) this.#look();
  }

  #askNext(now: number): void {
    const protocol = this.#left.shift();
    this.#protocol = protocol;
    if (!protocol || !this.#attachment) {
      this.#client = undefined;
      return this.#wait(now);
    }
    this.#asked.set(protocol, 'asking');
    this.#client = createClient(protocol, { ...this.#options, ...this.#attachment });
    this.#client.map(now);
    this.#carryOut(now);
  }

  #renew(now: number): void {
    this.#lastRenewal = now;
    this.#nextAt = undefined;
    this.#client?.map(now);
    this.#carryOut(now);
  }

  #handleNext(now: number): void {
    if (this.#activity === 'closing') return this.#closed();
    if (this.#mapping) return this.#renew(now);
    this.#look();
  }

  /** Answers go to the client that speaks this way. */
  #takes(via: 'control' | 'search'): boolean {
    return (this.#protocol === 'upnp') === (via === 'search');
  }

  #handleAnnouncement(bytes: Uint8Array, from: Endpoint, now: number): void {
    const gateway = this.#attachment?.gateway;
    if (gateway === undefined || !sameAddress(from.address, gateway)) {
      this.#drops['foreign-source']++;
      return;
    }
    const lost = this.#mapping !== undefined && this.#client?.announces(bytes, now) === true;
    if (lost && this.#activity === 'waiting' && now >= this.#lastRenewal + leastRenewMs) this.#renew(now);
  }

  #carryOut(now: number): void {
    for (let output = this.#client?.pollOutput(); output; output = this.#client?.pollOutput()) {
      this.#handleOutput(output, now);
    }
  }

  #handleOutput(output: ClientOutput, now: number): void {
    switch (output.type) {
      case 'send':
        this.#outputs.push(output);
        return;
      case 'http': {
        const id = this.#nextRequest++;
        if (this.#client) this.#requests.set(id, { client: this.#client, id: output.id });
        this.#outputs.push({ type: 'http', id, request: output.request });
        return;
      }
      case 'dropped':
        this.#drops[output.cause]++;
        return;
      case 'mapped':
        return this.#mapped(output, now);
      case 'failed':
        return this.#failed(output.failure, now);
      case 'unmapped':
        return this.#closed();
    }
  }

  #mapped(granted: Extract<ClientOutput, { type: 'mapped' }>, now: number): void {
    if (!this.#protocol) return;
    this.#asked.set(this.#protocol, 'mapped');
    this.#mapping = {
      protocol: this.#protocol,
      external: granted.external,
      internalPort: this.#options.localPort,
      expiresAt: now + granted.lifetimeMs,
      behindAnotherNat: granted.behindAnotherNat,
    };
    this.#outputs.push({ type: 'mapping', mapping: this.#mapping });
    if (this.#activity === 'asking') this.#activity = 'waiting';
    if (this.#activity === 'waiting') this.#nextAt = now + granted.lifetimeMs / 2;
  }

  #failed(failure: Failure, now: number): void {
    if (!this.#protocol) return;
    this.#asked.set(this.#protocol, failure);
    this.#outputs.push({ type: 'failed', protocol: this.#protocol, failure });
    if (this.#mapping) {
      // Whatever the gateway says now, it has promised until then.
      if (this.#activity === 'waiting') {
        this.#nextAt = now + Math.max(leastRenewMs, (this.#mapping.expiresAt - now) / 2);
      }
      return;
    }
    this.#askNext(now);
  }

  #lose(): void {
    this.#client = undefined;
    if (!this.#mapping) return;
    this.#mapping = undefined;
    this.#outputs.push({ type: 'mapping', mapping: undefined });
  }

  #wait(now: number): void {
    this.#activity = 'waiting';
    this.#failedAt = now;
    this.#nextAt = now + retryMs;
  }

  #close(now: number): void {
    if (this.#activity === 'closing') return;
    if (!this.#client) return this.#closed();
    this.#activity = 'closing';
    this.#nextAt = now + closeMs;
    this.#client.unmap(now);
    this.#carryOut(now);
  }

  #closed(): void {
    if (this.#activity === 'closed') return;
    this.#lose();
    this.#activity = 'closed';
    this.#nextAt = undefined;
    this.#outputs.push({ type: 'closed' });
  }
}

function createClient(protocol: Protocol, context: ClientContext): Client {
  switch (protocol) {
    case 'pcp':
      return new PcpClient(context);
    case 'nat-pmp':
      return new NatPmpClient(context);
    case 'upnp':
      return new UpnpClient(context);
  }
}
