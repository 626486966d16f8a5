import type { Connection, DirectOptions, Endpoint } from '@ztna/quic';
import type { Clock, Logger } from '@ztna/runtime';
import {
  type CountOutput,
  DEFAULT_VIRTUAL_RANGES,
  type EventOutput,
  type LocalAddress,
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
import { SessionPaths } from './session-paths.ts';

/** The part `direct` of a component's configuration. */
export interface DirectSettings {
  readonly enabled: boolean;
  readonly interfaces: { readonly allow: readonly string[]; readonly deny: readonly string[] };
  readonly addresses: readonly string[];
  /** Tests on one machine; no field of a configuration. */
  readonly allowLoopback?: boolean;
}

export interface DirectPathsOptions {
  readonly side: PathSide;
  readonly endpoint: Endpoint;
  readonly settings: DirectSettings;
  readonly clock: Clock;
  readonly log: Logger;
  readonly observe: (output: EventOutput | CountOutput) => void;
  readonly onDirect: (session: SessionUid, inUse: boolean) => void;
}

/** Direct paths of all sessions of a component: what all share is told to each. */
export class DirectPaths implements Disposable {
  readonly #options: DirectPathsOptions;
  readonly #settings: PathSettings;
  readonly #sessions = new Map<SessionUid, SessionPaths>();
  readonly #observed = new Map<string, string>();
  readonly #port: number;
  readonly #watcher: InterfaceWatcher;
  #addresses: readonly LocalAddress[] = [];
  #mapped: string | undefined;

  constructor(options: DirectPathsOptions) {
    const { endpoint, settings } = options;
    this.#options = options;
    this.#settings = pathSettings(settings);
    const bound = boundAddress(endpoint.localAddress);
    this.#port = bound.port;
    this.#watcher = new InterfaceWatcher({
      bound,
      onAddresses: (addresses) => {
        this.#addresses = addresses;
        this.#tell(this.#local());
      },
      onChange: () => this.#onNetworkChange(),
    });
  }

  /** The session is up, or its policy changed. `carrier`: the outer connection under its relay path. */
  setPolicy(session: SessionUid, policy: PathPolicy, connection: Connection, carrier: Connection): void {
    const known = this.#sessions.get(session);
    const { direct, showPrivateAddresses } = policy;
    // Cores hand over an output, which is more than a policy: it has a type of its own.
    if (known) return known.input({ type: 'policy', direct, showPrivateAddresses });
    const { side, clock, log, observe, onDirect } = this.#options;
    const paths = new SessionPaths(connection, {
      ...{ side, policy, clock, log, observe, session },
      settings: this.#settings,
      random: Math.random,
      onDirect: (inUse) => onDirect(session, inUse),
    });
    this.#sessions.set(session, paths);
    void connection.closed.then(() => this.#sessions.delete(session));
    paths.setCarrier(carrier);
    for (const input of this.#facts()) paths.input(input);
  }

  /** The relay path of the session goes over another connection now. */
  setCarrier(session: SessionUid, carrier: Connection): void {
    this.#sessions.get(session)?.setCarrier(carrier);
  }

  /** How an intermediate sees the socket; undefined: not connected to it any more. */
  setObserved(by: string, address: string | undefined): void {
    if (this.#observed.get(by) === address) return;
    if (address === undefined) this.#observed.delete(by);
    else this.#observed.set(by, address);
    this.#tell({ type: 'observed', by, address });
  }

  /** The address that a router forwards to the socket; undefined: none. */
  setMapped(address: string | undefined): void {
    this.#mapped = address;
    this.#tell({ type: 'mapped', address });
  }

  verdict(session: SessionUid): PathVerdict | undefined {
    return this.#sessions.get(session)?.verdict();
  }

  [Symbol.dispose](): void {
    this.#watcher[Symbol.dispose]();
  }

  #onNetworkChange(): void {
    const { endpoint, log } = this.#options;
    log.info('the network changed: paths are looked at again');
    endpoint.networkChanged();
    this.#tell({ type: 'network-changed' });
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
export function directRanges({ allowLoopback = false }: DirectSettings): DirectOptions {
  const refuse = refusedRanges({ allowLoopback, virtualRanges: DEFAULT_VIRTUAL_RANGES, allowPrivate: true });
  return { refuse, ...(allowLoopback && { allow: ['127.0.0.0/8', '::1/128'] }) };
}

function pathSettings({ allowLoopback = false, ...settings }: DirectSettings): PathSettings {
  return { ...settings, virtualRanges: DEFAULT_VIRTUAL_RANGES, allowLoopback };
}
