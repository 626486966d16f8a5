import { once } from 'node:events';
import type { AddressInfo, Server } from 'node:net';
import { type Address, formatAddress, listenFault } from '@ztna/runtime';

/** Something that listens. */
export interface Listening extends AsyncDisposable {
  /** The bound address, `127.0.0.1:8080`. */
  readonly address: string;
}

/** Binds a TCP server. `option` is named in the error when the address is taken. */
export async function listen(server: Server, address: Address, option: string): Promise<string> {
  server.listen(address.port, address.host);
  try {
    await once(server, 'listening');
  } catch (cause) {
    throw listenFault(formatAddress(address), option, cause);
  }
  return bound(server.address() as AddressInfo);
}

/** `host:port` of a bound socket. */
export function bound({ address, port }: AddressInfo): string {
  return formatAddress({ host: address, port });
}
