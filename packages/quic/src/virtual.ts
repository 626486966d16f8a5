import type { NativeEndpointType } from './native.ts';
import type { VirtualPathOptions } from './types.ts';

/**
 * A path whose packets travel inside the datagrams of a carrier connection. Its address is made up and
 * local: pass it to `connect` or `openPath`. When the carrier dies the path stays and carries nothing,
 * until it is given another one.
 */
export class VirtualPath {
  readonly id: number;
  readonly address: string;
  readonly #native: NativeEndpointType;
  readonly #forget: () => void;

  /** @internal */
  constructor(native: NativeEndpointType, id: number, options: VirtualPathOptions, forget: () => void) {
    this.#native = native;
    this.id = id;
    this.address = native.virtualPathAddress(id);
    this.#forget = forget;
    this.rebind(options);
  }

  /** Moves the path to another carrier. Inner connections do not notice; `ping()` them to hurry. */
  rebind(options: VirtualPathOptions): void {
    this.#native.setVirtualPath(this.id, options.carrier.id, options.send, options.receive);
  }

  close(): void {
    this.#native.removeVirtualPath(this.id);
    this.#forget();
  }
}
