import { type Address, formatAddress } from '@ztna/runtime';
import { serviceNames } from './system/names.ts';
import type { Forwards, System } from './system/system.ts';

/** A command line that works while the demonstration stays up. */
export interface Try {
  readonly command: string;
  readonly shows: string;
}

/** What to try with the built-in backend. */
export function thingsToTry(forwards: Forwards, proxy: Address, visitor: Address): Try[] {
  const web = formatAddress(forwards.address(serviceNames.web));

  const socks = formatAddress(proxy);
  const name = `${serviceNames.web}.ztna.internal`;
  return [
    { command: `curl http://${web}/health`, shows: 'a forwarded port' },
    { command: `curl -o /dev/null http://${web}/bytes/100000000`, shows: '100 MB, with curl’s own figures' },
    { command: `curl --socks5-hostname ${socks} http://${name}/headers`, shows: 'the SOCKS5 proxy, by name' },
    { command: `curl --proxy http://${socks} http://${name}/health`, shows: 'the HTTP proxy' },
    { command: `curl --proxytunnel --proxy http://${socks} http://${name}/health`, shows: 'HTTP CONNECT' },
    {
      command: `curl --socks5-hostname ${formatAddress(visitor)} http://${name}/`,
      shows: 'refused: this agent has no grant',
    },
  ];
}

/** What to try with the user's own service. */
export function ownThingsToTry({ backends }: System, forwards: Forwards, proxy: Address): Try[] {
  if (backends.kind !== 'own') return [];
  const local = formatAddress(forwards.address(serviceNames.own));
  const name = `${serviceNames.own}.ztna.internal:${backends.address.port}`;
  return [
    { command: `nc ${local.replace(':', ' ')}`, shows: `leads to ${formatAddress(backends.address)}` },
    { command: `curl http://${local}/`, shows: 'if it speaks HTTP' },
    {
      command: `curl --socks5-hostname ${formatAddress(proxy)} http://${name}/`,
      shows: 'the same through the SOCKS5 proxy',
    },
  ];
}
