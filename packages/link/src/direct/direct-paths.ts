import { setTimeout as sleep } from 'node:timers/promises';
import type { Connection, DirectOptions, Endpoint } from '@ztna/quic';
import type { Clock, Logger } from '@ztna/runtime';
import {
  type CountOutput,
  DEFAULT_VIRTUAL_RANGES,
  type LocalAddress,
  leftOutAddresses,
  type PathInput,
  type PathPolicy,
  type PathSettings,
  type PathSide,
  type PathVerdict,
  refusedRanges,
} from '@ztna/session';
import type { SessionUid } from '@ztna/wire';
import { boundAddress } from './address.ts';
import { InterfaceWatcher } from './interfaces.ts';
import { PortMapping, type PortMappingOptions, type PortMappingStatus } from './port-mapping.ts';
import { SessionPaths } from './session-paths.ts';

/** The part `direct` of a component's configuration. */
export interface DirectSettings {
  readonly enabled: boolean;
  readonly interfaces: { readonly allow: readonly string[]; readonly deny: readonly string[] };
  readonly addresses: readonly string[];
  readonly portMapping: boolean;
  /** Tests on one machine; no field of a configuration. */
  readonly allowLoopback?: boolean;
}

export interface DirectPathsOptions {
  readonly side: PathSide;
  readonly endpoint: Endpoint;
  readonly settings: DirectSettings;
  readonly clock: Clock;
  readonly log: Logger;
  readonly observe: (output: CountOutput) => void;
  readonly onDirect: (session: SessionUid, inUse: boolean) => void;
  /** Connector, for log lines: an agent has as many sessions one after another as it likes. */
  readonly agentOf?: (session: SessionUid) => string | undefined;
  /** Another intermediate may be asked how it sees the socket: it answers by `setSecondObserved`. */
  readonly askSecondObserver?: () => void;
  /** Tests. */
  readonly portMapping?: PortMappingOptions['test'];
}

/** A direct path that does not answer within this is known to be dead, unless it is very long, ms. */
const ANSWER_MS = 1_500;

/** Direct paths of all sessions of a component: what all share is told to each. */
export class DirectPaths implements AsyncDisposable {
  readonly #options: DirectPathsOptions;
  readonly #settings: PathSettings;
  readonly #sessions = new Map<SessionUid, SessionPaths>();
  /** Their ends are awaited here, once for each: what every session left with them would stay for as long as they live. */
  readonly #carriers = new Set<Connection>();
  readonly #observed = new Map<string, string>();
  readonly #port: number;
  readonly #watcher: InterfaceWatcher;
  readonly #mapping: PortMapping;
  /** There was a session that may use direct paths. */
  #isWanted = false;
  #addresses: readonly LocalAddress[] = [];
  #mapped: string | undefined;
  #privateAllowed: boolean;

  constructor(options: DirectPathsOptions) {
    const { endpoint, settings, log, portMapping } = options;
    this.#options = options;
    this.#privateAllowed = options.side === 'agent';
    this.#settings = pathSettings(settings);
    const bound = boundAddress(endpoint.localAddress);
    this.#port = bound.port;
    this.#watcher = new InterfaceWatcher({
      bound,
      onAddresses: (addresses) => {
        this.#addresses = addresses;
        this.#setFilter();
        this.#tell(this.#local());
      },
      onChange: () => this.#onNetworkChange(),
    });
    this.#mapping = new PortMapping({
      ...{ bound, log, enabled: settings.enabled && settings.portMapping },
      onMapped: (address) => this.#setMapped(address),
      ...(portMapping && { test: portMapping }),
    });
  }

  /** Connector: its site shows private addresses. What may not be shown is not reached or heard there either. */
  allowPrivate(allowed: boolean): void {
    this.#privateAllowed = allowed;
    this.#setFilter();
  }

  /** The session is up, or its policy changed. `carrier`: the outer connection under its relay path. */
  setPolicy(session: SessionUid, policy: PathPolicy, connection: Connection, carrier: Connection): void {
    const known = this.#sessions.get(session);
    this.#want(policy, known === undefined);
    if (known) return known.setPolicy(policy);
    const { side, clock, log, observe, onDirect, agentOf } = this.#options;
    const paths = new SessionPaths(connection, {
      ...{ side, policy, clock, log, observe, session, agent: agentOf?.(session) },
      settings: this.#settings,
      random: Math.random,
      onDirect: (inUse) => onDirect(session, inUse),
    });
    this.#sessions.set(session, paths);
    void connection.closed.then(() => this.#sessions.delete(session));
    this.#carry(paths, carrier);
    for (const input of this.#facts()) paths.input(input);
  }

  /** The relay path of the session goes over another connection now. */
  setCarrier(session: SessionUid, carrier: Connection): void {
    const paths = this.#sessions.get(session);
    if (paths) this.#carry(paths, carrier);
  }

  /** How an intermediate sees the socket; undefined: not connected to it any more. */
  setObserved(by: string, address: string | undefined): void {
    const isNews = this.#observed.get(by) !== address;
    this.setSecondObserved(by, address);
    if (isNews && this.#isWanted) this.#options.askSecondObserver?.();
  }

  /** As `setObserved`, for an intermediate that was asked for nothing else. */
  setSecondObserved(by: string, address: string | undefined): void {
    if (address === undefined) this.#observed.delete(by);
    else this.#observed.set(by, address);
    this.#tell({ type: 'observed', by, address });
  }

  portMapping(): PortMappingStatus {
    return this.#mapping.status();
  }

  verdict(session: SessionUid): PathVerdict | undefined {
    return this.#sessions.get(session)?.verdict();
  }

  /** Of all sessions that are up. */
  verdicts(): PathVerdict[] {
    return [...this.#sessions.values()].map((paths) => paths.verdict());
  }

  /** How many sessions are on a direct path that answers. A path at rest may have died unnoticed: all are asked, which takes a moment. */
  async answering(): Promise<number> {
    const direct = () => [...this.#sessions.values()].filter((paths) => paths.verdict().path === 'direct');
    const before = direct();
    if (before.length === 0) return 0;
    for (const paths of before) paths.ask();
    await sleep(ANSWER_MS, undefined, { ref: false });
    return direct().filter((paths) => before.includes(paths)).length;
  }

  /** Deletes the port mapping, within a second. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#watcher[Symbol.dispose]();
    await this.#mapping[Symbol.asyncDispose]();
  }

  #carry(paths: SessionPaths, carrier: Connection): void {
    paths.setCarrier(carrier);
    if (this.#carriers.has(carrier)) return;
    this.#carriers.add(carrier);
    void carrier.closed.then(() => {
      this.#carriers.delete(carrier);
      for (const each of this.#sessions.values()) each.carrierLost(carrier);
    });
  }

  #setFilter(): void {
    const { endpoint, settings } = this.#options;
    const leftOut = leftOutAddresses(this.#addresses, settings.interfaces);
    endpoint.setDirectFilter({ ...directRanges(settings, this.#privateAllowed), leftOut });
  }

  #want({ direct }: PathPolicy, isNew: boolean): void {
    if (direct === 'deny' || !this.#options.settings.enabled) return;
    if (isNew || !this.#isWanted) this.#mapping.want();
    if (this.#isWanted) return;
    this.#isWanted = true;
    this.#options.askSecondObserver?.();
  }

  #setMapped(address: string | undefined): void {
    this.#mapped = address;
    this.#tell({ type: 'mapped', address });
  }

  #onNetworkChange(): void {
    const { endpoint, log } = this.#options;
    log.info({ event: 'network.changed' }, 'the network changed: paths are looked at again');
    endpoint.networkChanged();
    this.#mapping.networkChanged();
    this.#tell({ type: 'network-changed' });
    if (this.#isWanted) this.#options.askSecondObserver?.();
  }

  #facts(): PathInput[] {
    const observed = [...this.#observed].map(([by, address]) => ({ type: 'observed', by, address }) as const);
    return [this.#local(), { type: 'mapped', address: this.#mapped }, ...observed];
  }

  #local(): PathInput {
    return { type: 'local', addresses: this.#addresses, port: this.#port };
  }

  #tell(input: PathInput): void {
    for (const paths of this.#sessions.values()) paths.input(input);
  }
}

/** What the engine refuses whatever is decided here, for `EndpointOptions.direct`. */
export function directRanges(
  { allowLoopback = false }: DirectSettings,
  allowPrivate: boolean,
): DirectOptions {
  const refuse = refusedRanges({ allowLoopback, virtualRanges: DEFAULT_VIRTUAL_RANGES, allowPrivate });
  return { refuse, ...(allowLoopback && { allow: ['127.0.0.0/8', '::1/128'] }) };
}

function pathSettings({ allowLoopback = false, portMapping: _, ...settings }: DirectSettings): PathSettings {
  return { ...settings, virtualRanges: DEFAULT_VIRTUAL_RANGES, allowLoopback };
}
