import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';
import type { LocalAddress } from '@ztna/session';
import { type Address, isUnspecified } from './address.ts';

/** Node tells of no changes; looking costs a tenth of a millisecond. */
const INTERVAL_MS = 500;
/** A look that comes so much later than it should: the process or the machine was asleep. */
const ASLEEP_MS = 3_000;

export interface InterfaceWatcherOptions {
  /** Address of the UDP socket: what it is not bound to is no address of ours. */
  readonly bound: Address;
  /** All addresses, at once and whenever they are others than before. */
  readonly onAddresses: (addresses: readonly LocalAddress[]) => void;
  /** Addresses changed, or the machine slept: what was known of the network may be wrong. */
  readonly onChange: () => void;
  readonly interfaces?: () => NodeJS.Dict<NetworkInterfaceInfo[]>;
  readonly time?: () => Instant;
}

/** Milliseconds by the clock of the wall, and by one that is never set. */
interface Instant {
  readonly wall: number;
  readonly steady: number;
}

const readClocks = (): Instant => ({ wall: Date.now(), steady: performance.now() });

/** Looks at the machine's network interfaces as long as it is not closed. */
export class InterfaceWatcher implements Disposable {
  readonly #options: InterfaceWatcherOptions;
  readonly #timer: NodeJS.Timeout;
  #known = '';
  #last: Instant;

  constructor(options: InterfaceWatcherOptions) {
    this.#options = options;
    this.#last = this.#now();
    this.look(false);
    this.#timer = setInterval(() => this.look(this.#wasAsleep()), INTERVAL_MS).unref();
  }

  /** Looks now; `changed` says that something else is known to be different. */
  look(changed: boolean): void {
    const { bound, interfaces = networkInterfaces, onAddresses, onChange } = this.#options;
    const found = attempt(interfaces);
    if (!found) return; // seen at the next look
    const addresses = addressesOf(found, bound);
    const known = JSON.stringify(addresses);
    const isFirst = this.#known === '';
    const isOther = known !== this.#known;
    this.#known = known;
    if (isOther) onAddresses(addresses);
    if ((isOther || changed) && !isFirst) onChange();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #now(): Instant {
    return (this.#options.time ?? readClocks)();
  }

  /** The steady clock stands still while the machine is suspended, and goes on while the process is stopped. */
  #wasAsleep(): boolean {
    const { wall, steady } = this.#now();
    const [byWall, bySteady] = [wall - this.#last.wall, steady - this.#last.steady];
    this.#last = { wall, steady };
    return byWall - bySteady > ASLEEP_MS || bySteady > INTERVAL_MS + ASLEEP_MS;
  }
}

/**
 * Asks the system for the machine's addresses. It throws when the process has no file descriptor left, which is no
 * reason to end anything: undefined then.
 */
export function attempt<T>(ask: () => T): T | undefined {
  try {
    return ask();
  } catch {
    return undefined;
  }
}

/** What a socket bound to `bound` can send from. */
export function addressesOf(interfaces: NodeJS.Dict<NetworkInterfaceInfo[]>, bound: Address): LocalAddress[] {
  const all = Object.entries(interfaces).flatMap(([name, infos = []]) =>
    infos.map(({ address, cidr, family }) => ({
      ...{ interface: name, address, family },
      prefix: Number(cidr?.split('/')[1] ?? (family === 'IPv4' ? 32 : 128)),
    })),
  );
  return all
    .filter(({ address, family }) =>
      isUnspecified(bound) ? family === 'IPv4' || bound.host.includes(':') : address === bound.host,
    )
    .map(({ interface: name, address, prefix }) => ({ interface: name, address, prefix }));
}
