import { excerpt } from './ids.ts';
import { fail, ok, type Result } from './result.ts';
import type { HostPort } from './snapshot.ts';

const NAME = /^(?=.{1,253}$)[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62})(?:\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*$/;
const IPV6 = /^(?=.*:.*:)[0-9A-Fa-f:.]{2,45}$/;

/** Parses `name:port`, `1.2.3.4:port` or `[v6]:port`; ports from 1. Names are not resolved, nor IPv6 fully checked. */
export function parseHostPort(input: string): Result<HostPort> {
  const match = /^(?:\[([^\]]*)\]|([^:[\]]*)):([1-9][0-9]{0,4})$/.exec(input);
  const [, v6, name, digits] = match ?? [];
  const port = Number(digits);
  const fits = v6 === undefined ? NAME.test(name ?? '') : IPV6.test(v6);
  if (match === null || !fits || port > 0xffff) {
    return fail('invalid', 'address', `${excerpt(input)} is not host:port or [v6]:port`);
  }
  return ok({ host: v6 ?? name ?? '', port });
}

export function formatHostPort({ host, port }: HostPort): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
