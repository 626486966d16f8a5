import { execFile } from 'node:child_process';
import { open } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { promisify } from 'node:util';
import { isV4, parseIp } from '../core/address.ts';
import { type Gateway, readLinuxRoutes4, readLinuxRoutes6, readMacRoute } from '../core/routes.ts';

export interface FoundGateway {
  /** IP literal; link-local IPv6 with its zone. */
  readonly address: string;
  /** The address of ours to ask from; without it the routing table decides. */
  readonly localAddress?: string;
}

/** Finds the gateway of the network that this machine is in now; undefined when there is none. */
export type GatewayLookup = (signal: AbortSignal) => Promise<FoundGateway | undefined>;

/** A machine with a full routing table has no home router. */
const maxTableBytes = 256 * 1024;
const run = promisify(execFile);

/**
 * The default gateway, IPv4 before IPv6: from /proc on Linux, from `route` on macOS (untested there, IPv4 only).
 * Other systems have none.
 */
export const systemGateway: GatewayLookup = async (signal) => {
  if (process.platform === 'linux') return linuxGateway();
  if (process.platform === 'darwin') return macGateway(signal);
  return undefined;
};

async function linuxGateway(): Promise<FoundGateway | undefined> {
  const v4 = readLinuxRoutes4(await readTable('/proc/net/route'));
  if (v4) return { address: v4.address };
  const v6 = readLinuxRoutes6(await readTable('/proc/net/ipv6_route'));
  return v6 && withGlobalAddress(v6);
}

/** PCP maps the address that asks: to a link-local gateway it would be a link-local one. */
function withGlobalAddress(gateway: Gateway): FoundGateway | undefined {
  const own = (networkInterfaces()[gateway.interface] ?? []).find(({ address }) => isGlobalV6(address));
  return own && { address: gateway.address, localAddress: own.address };
}

function isGlobalV6(address: string): boolean {
  const ip = parseIp(address);
  return ip !== undefined && !isV4(ip) && ((ip[0] ?? 0) & 0xe0) === 0x20;
}

async function macGateway(signal: AbortSignal): Promise<FoundGateway | undefined> {
  const { stdout } = await run('/sbin/route', ['-n', 'get', 'default'], { signal, maxBuffer: 64 * 1024 });
  const gateway = readMacRoute(stdout);
  return gateway && { address: gateway.address };
}

/** The beginning of a table, which is where default routes are. Empty without that family. */
async function readTable(path: string): Promise<string> {
  try {
    await using file = await open(path);
    const chunks: Buffer[] = [];
    for (let size = 0; size < maxTableBytes; ) {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(64 * 1024));
      if (bytesRead === 0) break;
      chunks.push(buffer.subarray(0, bytesRead));
      size += bytesRead;
    }
    return Buffer.concat(chunks).toString('latin1');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}
