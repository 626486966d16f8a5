import type { Endpoint } from './endpoint.ts';
import type { VirtualPathOptions } from './types.ts';

/**
 * A path whose packets travel inside the datagrams of a carrier connection. Its address is made up and
 * local: pass it to `connect` or `openPath`. When the carrier dies the path stays and carries nothing,
 * until it is given another one.
 */
export class VirtualPath {
  readonly id: number;
  readonly address: string;
  readonly #endpoint: Endpoint;
  readonly #forget: () => void;

  /** @internal */
  constructor(endpoint: Endpoint, id: number, options: VirtualPathOptions, forget: () => void) {
    this.#endpoint = endpoint;
    this.id = id;
    this.address = endpoint.native.virtualPathAddress(id);
    this.#forget = forget;
    this.rebind(options);
  }

  /** Moves the path to another carrier. Inner connections do not notice; `ping()` them to hurry. */
  rebind(options: VirtualPathOptions): void {
    this.#endpoint.native.setVirtualPath(this.id, options.carrier.id, options.send, options.receive);
  }

  close(): void {
    this.#endpoint.native.removeVirtualPath(this.id);
    this.#forget();
  }
}
