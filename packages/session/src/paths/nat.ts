import type { NatMapping } from '@ztna/wire';
import { formatSocketAddress, type Ip, type SocketAddress, sameIp } from './ip.ts';

/** Intermediates whose observations are kept. */
const MAX_OBSERVERS = 16;

interface Observation {
  readonly address: SocketAddress;
  /** Made before the network changed: still shown, but no ground for conclusions. */
  stale: boolean;
}

/** How others see our socket, by observer, and what that says of the NAT (RFC 4787 §4.1). */
export class Observations {
  readonly #by = new Map<string, Observation>();

  set(by: string, address: SocketAddress | undefined): void {
    this.#by.delete(by);
    if (address === undefined) return;
    this.#by.set(by, { address, stale: false });
    const [oldest] = this.#by.keys();
    if (this.#by.size > MAX_OBSERVERS && oldest !== undefined) this.#by.delete(oldest);
  }

  markStale(): void {
    for (const observation of this.#by.values()) observation.stale = true;
  }

  /** Each address once. */
  addresses(): readonly SocketAddress[] {
    const all = [...this.#by.values()].map(({ address }) => address);
    return [...new Map(all.map((address) => [formatSocketAddress(address), address])).values()];
  }

  /**
   * The mapping for one family, from fresh observations. Two that agree prove that the destination does not matter,
   * two that differ that it does; one proves nothing, unless what it saw is an address of this machine.
   */
  mapping(family: 4 | 6, own: readonly Ip[]): NatMapping {
    const seen = [...this.#by.values()]
      .filter(({ stale, address }) => !stale && address.ip.family === family)
      .map(({ address }) => address);
    const [first] = seen;
    if (first === undefined) return 'unknown';
    if (seen.every(({ ip }) => own.some((mine) => sameIp(mine, ip)))) return 'none';
    if (seen.length < 2) return 'unknown';
    const same = seen.every((address) => formatSocketAddress(address) === formatSocketAddress(first));
    return same ? 'endpoint-independent' : 'destination-dependent';
  }
}
