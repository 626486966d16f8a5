import type { RelayId } from '@ztna/wire';

/** Datagrams of the session before may still be under way that long after an id was released. */
export const RELAY_ID_QUARANTINE_MS = 10_000;

/** Relay ids of one outer connection: small numbers first (one-byte varints below 64), none used twice. */
export class RelayIds {
  #next = 1;
  readonly #inUse = new Set<RelayId>();
  readonly #released: { readonly id: RelayId; readonly at: number }[] = [];

  get inUse(): number {
    return this.#inUse.size;
  }

  allocate(now: number): RelayId {
    const oldest = this.#released[0];
    const reusable = oldest !== undefined && now - oldest.at >= RELAY_ID_QUARANTINE_MS;
    const id = reusable ? oldest.id : (this.#next++ as RelayId);
    if (reusable) this.#released.shift();
    this.#inUse.add(id);
    return id;
  }

  release(id: RelayId, now: number): void {
    if (this.#inUse.delete(id)) this.#released.push({ id, at: now });
  }
}
