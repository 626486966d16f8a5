import {
  type FoundGateway,
  type Mapping,
  PortMapper,
  type PortMapperOptions,
  systemGateway,
} from '@ztna/portmap';
import type { Logger } from '@ztna/runtime';
import { instant } from '../status.ts';
import { type Address, isLoopback, isUnspecified } from './address.ts';

/** What the network's gateway said to the request for a port mapping, for `ztna status`. */
export interface PortMappingStatus {
  /** `off`: nobody is asked; `idle`: nobody was asked yet, for no session may use direct paths. */
  readonly state: 'off' | 'idle' | 'looking' | 'asking' | 'mapped' | 'waiting' | 'closing' | 'closed';
  /** Why it is off, or why there is no gateway. */
  readonly detail?: string;
  readonly gateway?: string;
  /** Who was asked, and what came of it. */
  readonly asked: readonly { readonly protocol: string; readonly outcome: string }[];
  /** `ip:port` at which the gateway takes packets for us. */
  readonly external?: string;
  readonly protocol?: string;
  readonly expires?: string;
  /** The external address is private: nothing is announced. */
  readonly behindAnotherNat?: boolean;
}

export interface PortMappingOptions {
  /** Address of the UDP socket; nothing is asked for one on loopback. */
  readonly bound: Address;
  /** `direct.portMapping` */
  readonly enabled: boolean;
  readonly log: Logger;
  /** The address to show to peers; undefined: none (any more). */
  readonly onMapped: (external: string | undefined) => void;
  /** Tests: where simulated gateways are. */
  readonly test?: Pick<PortMapperOptions, 'gateway' | 'test'>;
}

/** One port mapping for the socket of a component, from the first call of `want` until it is closed. */
export class PortMapping implements AsyncDisposable {
  readonly #options: PortMappingOptions;
  readonly #off: string | undefined;
  #mapper: PortMapper | undefined;
  #external: string | undefined;
  #warned = false;
  #closed = false;

  constructor(options: PortMappingOptions) {
    this.#options = options;
    const { bound, enabled } = options;
    if (!enabled) this.#off = 'switched off by direct.portMapping';
    // Nobody outside reaches such a socket, whatever the gateway does.
    else if (isLoopback(bound) && !options.test) this.#off = 'the UDP socket is bound to loopback';
  }

  /** A session may use direct paths. The first has the gateway asked, later ones again where it gave nothing. */
  want(): void {
    if (this.#mapper || this.#closed || this.#off !== undefined) return this.#mapper?.want();
    const { bound, log, test } = this.#options;
    this.#mapper = PortMapper.start({
      localPort: bound.port,
      log,
      onMapping: (mapping) => this.#onMapping(mapping),
      ...test,
      ...(!isUnspecified(bound) && !test && { gateway: (signal) => gatewayFrom(bound, signal) }),
    });
  }

  networkChanged(): void {
    this.#mapper?.networkChanged();
  }

  status(): PortMappingStatus {
    if (this.#off !== undefined) return { state: 'off', detail: this.#off, asked: [] };
    if (!this.#mapper) return { state: 'idle', asked: [] };
    const { state, detail, gateway, asked, mapping } = this.#mapper.status();
    return {
      state,
      ...(detail !== undefined && { detail }),
      ...(gateway !== undefined && { gateway }),
      asked: asked.map(({ protocol, outcome }) => ({ protocol, outcome: words(outcome) })),
      ...(mapping && {
        ...{ external: mapping.external, protocol: mapping.protocol },
        ...{ expires: instant(mapping.expiresAt), behindAnotherNat: mapping.behindAnotherNat },
      }),
    };
  }

  /** Deletes the mapping; takes a second at most. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await this.#mapper?.close();
  }

  #onMapping(mapping: Mapping | undefined): void {
    const { log, onMapped } = this.#options;
    if (mapping?.behindAnotherNat && !this.#warned) {
      this.#warned = true;
      const { protocol } = mapping;
      log.info(
        { event: 'port-mapping.behind-nat', protocol },
        'the router maps our port, but is behind another NAT itself: the mapping is not announced',
      );
    }
    const external = mapping?.behindAnotherNat ? undefined : mapping?.external;
    if (external === this.#external) return; // renewed
    this.#external = external;
    if (!this.#closed) onMapped(external);
  }
}

/** A socket that is bound to one address is reached at that one alone. */
async function gatewayFrom({ host }: Address, signal: AbortSignal): Promise<FoundGateway | undefined> {
  const found = await systemGateway(signal);
  return found && { ...found, localAddress: host };
}

function words(outcome: 'asking' | 'mapped' | { readonly cause: string; readonly detail: string }): string {
  return typeof outcome === 'string' ? outcome : `${outcome.cause}: ${outcome.detail}`;
}
