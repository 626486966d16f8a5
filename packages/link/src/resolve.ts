import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { formatHostPort, type HostPort } from '@ztna/wire';

/** Addresses taken of one name. */
const MAX_ADDRESSES = 8;

/** Every address of one name, as the system's resolver gives them. Rejects as `lookup` of node:dns does. */
export type Resolver = (name: string) => Promise<readonly string[]>;

export const systemResolver: Resolver = async (name) => {
  const found = await lookup(name, { all: true, order: 'verbatim' });
  return found.map(({ address }) => address);
};

/** IP addresses of a host, which may be one already; at most eight, without repetition. */
export async function resolveHost(host: string, resolver: Resolver = systemResolver): Promise<string[]> {
  if (isIP(host)) return [host];
  return [...new Set(await resolver(host))].slice(0, MAX_ADDRESSES);
}

/** `ip:port` for each of the places, in their order; names that cannot be resolved are left out. */
export async function resolveAll(
  places: readonly HostPort[],
  resolver: Resolver = systemResolver,
): Promise<string[]> {
  const resolved = await Promise.all(
    places.map(async ({ host, port }) => {
      const addresses = await resolveHost(host, resolver).catch(() => []);
      return addresses.map((address) => formatHostPort({ host: address, port }));
    }),
  );
  return [...new Set(resolved.flat())];
}
