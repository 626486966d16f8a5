import { randomBytes } from 'node:crypto';
import { isIP } from 'node:net';
import { type Clock, type CoreShell, type Logger, monotonicClock, runCore } from '@ztna/runtime';
import { type Endpoint, formatEndpoint } from '../core/address.ts';
import { type GatewayPorts, type Protocol, protocols, standardPorts } from '../core/client.ts';
import {
  type CoreMapping,
  MapperCore,
  type MapperInput,
  type MapperOutput,
  type MapperStatus,
} from '../core/mapper.ts';
import { ssdpGroup } from '../core/ssdp.ts';
import { type FoundGateway, type GatewayLookup, systemGateway } from './gateway.ts';
import { askHttp } from './http.ts';
import { GatewaySockets } from './sockets.ts';

/** A way in from outside to our UDP port. */
export interface Mapping {
  readonly protocol: Protocol;
  /** `203.0.113.5:41000`. */
  readonly external: string;
  readonly internalPort: number;
  /** Milliseconds since 1970; it is renewed long before. */
  readonly expiresAt: number;
  /** The external address is private: peers elsewhere cannot reach it. */
  readonly behindAnotherNat: boolean;
}

export interface PortMapperOptions {
  /** By default the system's default gateway. */
  readonly gateway?: GatewayLookup;
  /** `off`: no socket is opened, nobody is asked. */
  readonly mode?: 'auto' | 'off';
  /** The UDP port on this machine, 1 to 65535. */
  readonly localPort: number;
  /** Each is asked when those before it gave nothing. */
  readonly protocolOrder?: readonly Protocol[];
  /** Asked for; gateways may give less. 120 to 86,400, by default 7200. */
  readonly lifetimeSeconds?: number;
  /** Called for each change and each renewal; undefined when the mapping is lost or deleted. */
  readonly onMapping: (mapping: Mapping | undefined) => void;
  readonly log: Pick<Logger, 'debug' | 'info' | 'error'>;
  /** Closes the mapper. */
  readonly signal?: AbortSignal;
  readonly clock?: Clock;
  /** Where simulated gateways listen. */
  readonly test?: {
    readonly ports: GatewayPorts;
    readonly announcePort: number;
    readonly searchGroup?: Endpoint;
  };
}

/** What was asked and what answered, for people. */
export interface PortMapperStatus {
  readonly state: MapperStatus['state'] | 'off';
  readonly gateway: string | undefined;
  readonly localAddress: string | undefined;
  /** Why nothing is asked, when there is no gateway. */
  readonly detail: string | undefined;
  readonly asked: MapperStatus['asked'];
  readonly mapping: Mapping | undefined;
  /** Milliseconds since 1970: the next renewal, or the next attempt. */
  readonly nextAt: number | undefined;
  readonly drops: MapperStatus['drops'];
}

const lookupMs = 2000;
const defaultLifetime = 7200;

/**
 * Asks the network's gateway for a port mapping and keeps it. Works in the background and never fails: without a
 * gateway that maps ports there is no mapping, and `status` says why.
 */
export class PortMapper {
  readonly #options: PortMapperOptions;
  readonly #clock: Clock;
  readonly #core: MapperCore;
  readonly #shell: CoreShell<MapperInput> | undefined;
  readonly #closed = Promise.withResolvers<void>();
  #sockets: GatewaySockets | undefined;
  #lookup = new AbortController();

  private constructor(options: PortMapperOptions) {
    this.#options = options;
    this.#clock = options.clock ?? monotonicClock;
    this.#core = new MapperCore({
      localPort: options.localPort,
      lifetime: options.lifetimeSeconds ?? defaultLifetime,
      order: options.protocolOrder ?? protocols,
      random: (bytes) => randomBytes(bytes),
    });
    if (options.mode === 'off') {
      this.#closed.resolve();
      return;
    }
    this.#shell = runCore(this.#core, {
      now: () => this.#clock.now(),
      setTimer: (at, callback) => this.#clock.setTimer(at, callback),
      onOutput: (output) => this.#carryOut(output),
      onError: (error) => {
        options.log.error({ event: 'port-mapping.failed', error }, 'port mapping stopped by a bug');
        this.#release();
      },
    });
    if (options.signal?.aborted) void this.close();
    else options.signal?.addEventListener('abort', () => void this.close(), { once: true });
  }

  /** @throws RangeError when a number is out of its range. */
  static start(options: PortMapperOptions): PortMapper {
    inRange('localPort', options.localPort, 1, 65535);
    inRange('lifetimeSeconds', options.lifetimeSeconds ?? defaultLifetime, 120, 86_400);
    return new PortMapper(options);
  }

  /** The network may have changed (address, interface, wake-up): the gateway is looked up and asked again. */
  networkChanged(): void {
    this.#shell?.input({ type: 'network-changed' });
  }

  /** There is a new use for a mapping: a gateway that gave none is asked again, a minute later at the earliest. */
  want(): void {
    this.#shell?.input({ type: 'wanted' });
  }

  /** Deletes the mapping, which takes 1 s at most, and closes the sockets. Idempotent. */
  close(): Promise<void> {
    this.#shell?.input({ type: 'close' });
    return this.#closed.promise;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  status(): PortMapperStatus {
    const { state, attachment, detached, asked, mapping, nextAt, drops } = this.#core.status;
    return {
      state: this.#shell ? state : 'off',
      gateway: attachment?.gateway,
      localAddress: attachment?.localAddress,
      detail: this.#shell ? detached : 'switched off by configuration',
      asked,
      mapping: mapping && this.#forPeople(mapping),
      nextAt: nextAt === undefined ? undefined : this.#wall(nextAt),
      drops,
    };
  }

  #carryOut(output: MapperOutput): void {
    switch (output.type) {
      case 'lookup':
        void this.#attach();
        return;
      case 'send':
        return this.#sockets?.send(output.via, output.to, output.bytes);
      case 'http':
        void this.#askHttp(output);
        return;
      case 'mapping':
        return this.#tell(output.mapping);
      case 'failed': {
        const { protocol, failure } = output;
        this.#options.log.debug(
          { event: 'port-mapping.none', protocol, ...failure },
          'no port mapping by this protocol',
        );
        return;
      }
      case 'closed':
        return this.#release();
    }
  }

  /** A later lookup supersedes an earlier one. */
  async #attach(): Promise<void> {
    this.#lookup.abort();
    const lookup = new AbortController();
    this.#lookup = lookup;
    const signal = AbortSignal.any([lookup.signal, AbortSignal.timeout(lookupMs)]);
    const found = await this.#open(signal);
    if (lookup.signal.aborted) {
      if (typeof found !== 'string') found.sockets.close();
      return;
    }
    this.#sockets?.close();
    this.#sockets = typeof found === 'string' ? undefined : found.sockets;
    if (typeof found === 'string') return this.#shell?.input({ type: 'detached', detail: found });
    const ports = this.#options.test?.ports ?? standardPorts;
    const searchGroup = this.#options.test
      ? this.#options.test.searchGroup
      : { address: ssdpGroup, port: ports.ssdp };
    const { localAddress } = found.sockets;
    this.#shell?.input({
      type: 'attached',
      attachment: { gateway: found.gateway, localAddress, ports, searchGroup },
    });
  }

  /** The gateway and sockets to it, or why there are none. */
  async #open(signal: AbortSignal): Promise<{ gateway: string; sockets: GatewaySockets } | string> {
    const { gateway: lookup = systemGateway, test, log } = this.#options;
    try {
      const gateway = await orAborted(lookup(signal), signal);
      if (!gateway) return 'there is no default gateway';
      if (isIP(gateway.address) === 0) return 'the gateway is not an IP address';
      const sockets = await GatewaySockets.open(
        {
          gateway: gateway.address,
          localAddress: gateway.localAddress,
          ports: test?.ports ?? standardPorts,
          announcePort: test?.announcePort ?? 5350,
        },
        {
          onDatagram: (via, bytes, from) => this.#shell?.input({ type: 'datagram', via, bytes, from }),
          onUnreachable: () => this.#shell?.input({ type: 'unreachable' }),
          onError: (error) =>
            log.debug({ event: 'port-mapping.socket-failed', error }, 'a socket for port mapping failed'),
        },
      );
      return { gateway: gateway.address, sockets };
    } catch (error) {
      log.debug({ event: 'port-mapping.no-gateway', error }, 'the gateway was not found');
      return `the gateway was not found: ${error instanceof Error ? error.message : String(error)}`;
    }
  }

  async #askHttp({ id, request }: Extract<MapperOutput, { type: 'http' }>): Promise<void> {
    const outcome = await askHttp(request, this.#sockets?.localAddress ?? '0.0.0.0');
    this.#shell?.input({ type: 'http', id, outcome });
  }

  #tell(mapping: CoreMapping | undefined): void {
    const { log, onMapping } = this.#options;
    const told = mapping && this.#forPeople(mapping);
    if (told) {
      const { protocol, behindAnotherNat, external } = told;
      log.debug(
        { event: 'port-mapping.made', protocol, behindAnotherNat, userAddress: external },
        'the gateway maps our port',
      );
    } else log.info({ event: 'port-mapping.gone' }, 'the port mapping is gone');
    onMapping(told);
  }

  #release(): void {
    this.#lookup.abort();
    this.#shell?.close();
    this.#sockets?.close();
    this.#sockets = undefined;
    this.#closed.resolve();
  }

  #forPeople({ protocol, external, internalPort, expiresAt, behindAnotherNat }: CoreMapping): Mapping {
    return {
      protocol,
      external: formatEndpoint(external),
      internalPort,
      expiresAt: this.#wall(expiresAt),
      behindAnotherNat,
    };
  }

  #wall(at: number): number {
    return Math.round(Date.now() + at - this.#clock.now());
  }
}

function orAborted(
  found: Promise<FoundGateway | undefined>,
  signal: AbortSignal,
): Promise<FoundGateway | undefined> {
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = () => reject(new Error('no answer in time'));
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort, { once: true });
  return Promise.race([found, promise]).finally(() => signal.removeEventListener('abort', abort));
}

function inRange(name: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  throw new RangeError(`${name} is ${value}; it must be a whole number from ${least} to ${most}`);
}
