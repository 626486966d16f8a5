// Reads the default gateway from what the operating systems print.
import { formatIp, parseIp } from './address.ts';

/** The next hop towards the outside. */
export interface Gateway {
  /** IP literal; link-local IPv6 with its zone. */
  readonly address: string;
  readonly interface: string;
}

const upAndGateway = 0x3;

/** `/proc/net/route`: hexadecimal in the machine's byte order, little-endian on all that we run on. */
export function readLinuxRoutes4(text: string): Gateway | undefined {
  const routes = text
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [name = '', destination = '', gateway = '', flags = '', , , metric = '', mask = ''] = line
        .trim()
        .split(/\s+/);
      if (destination !== '00000000' || mask !== '00000000' || !isGatewayRoute(flags)) return [];
      if (!/^[0-9A-F]{8}$/i.test(gateway) || !/^\d{1,10}$/.test(metric)) return [];
      const address = Uint8Array.from(gateway.match(/../g) ?? [], (hex) =>
        Number.parseInt(hex, 16),
      ).reverse();
      return [{ address: address.join('.'), interface: name, metric: Number(metric) }];
    });
  return least(routes);
}

/** `/proc/net/ipv6_route`: hexadecimal in network order. */
export function readLinuxRoutes6(text: string): Gateway | undefined {
  const routes = text.split('\n').flatMap((line) => {
    const [destination = '', length, , , gateway = '', metric = '', , , flags = '', name = ''] = line
      .trim()
      .split(/\s+/);
    if (!/^0{32}$/.test(destination) || length !== '00' || !isGatewayRoute(flags)) return [];
    if (!/^[0-9a-f]{32}$/i.test(gateway) || !/^[0-9a-f]{1,8}$/i.test(metric)) return [];
    const bytes = Uint8Array.from(gateway.match(/../g) ?? [], (hex) => Number.parseInt(hex, 16));
    const zone = bytes[0] === 0xfe && ((bytes[1] ?? 0) & 0xc0) === 0x80 ? `%${name}` : '';
    return [{ address: formatIp(bytes) + zone, interface: name, metric: Number.parseInt(metric, 16) }];
  });
  return least(routes);
}

/** Output of macOS's `route -n get default`. */
export function readMacRoute(text: string): Gateway | undefined {
  const field = (name: string) => new RegExp(`^\\s*${name}: (\\S+)$`, 'm').exec(text)?.[1];
  const [address, name] = [field('gateway'), field('interface')];
  if (address === undefined || name === undefined || !parseIp(address)) return undefined;
  return { address, interface: name };
}

function isGatewayRoute(flags: string): boolean {
  return /^[0-9a-f]{1,8}$/i.test(flags) && (Number.parseInt(flags, 16) & upAndGateway) === upAndGateway;
}

function least(routes: readonly (Gateway & { metric: number })[]): Gateway | undefined {
  const [best] = routes.toSorted((a, b) => a.metric - b.metric);
  return best && { address: best.address, interface: best.interface };
}
