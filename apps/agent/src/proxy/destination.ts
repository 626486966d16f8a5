import { isIP } from 'node:net';
import { parseServiceName, type ServiceName } from '@ztna/wire';

export type Resolved =
  | { readonly ok: true; readonly service: ServiceName }
  /** A sentence for the user of the proxy. */
  | { readonly ok: false; readonly reason: string };

/** The service that a host name means: `web.ztna.internal` is `web`. Nothing but names of the domain is taken. */
export function resolveHost(host: string, domain: string): Resolved {
  const name = host.toLowerCase().replace(/\.$/, '');
  if (isIP(name) !== 0) {
    return refuse(`Addresses are not proxied; use the service's name, NAME.${domain}.`);
  }
  if (!name.endsWith(`.${domain}`)) {
    return refuse(`Only names of the form NAME.${domain} are proxied.`);
  }
  const service = parseServiceName(name.slice(0, -domain.length - 1));
  return service.ok ? { ok: true, service: service.value } : refuse(`There can be no service of that name.`);
}

function refuse(reason: string): Resolved {
  return { ok: false, reason };
}
