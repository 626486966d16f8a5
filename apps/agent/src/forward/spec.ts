import { type Address, parseAddress, parseListenAddress, UsageError } from '@ztna/runtime';
import type { AgentService, ServiceName, TransportProtocol } from '@ztna/wire';
import { findService, type Target, unknownPort } from '../services.ts';

/** What to forward, as written: `web`, `web:443`. */
export interface ServiceSpec {
  readonly service: string;
  /** 0: its only port. */
  readonly port: number;
}

/** Where to listen, as written: without a host, where the configuration says. */
export interface LocalSpec {
  readonly host?: string;
  readonly port: number;
}

export interface ForwardSpec extends ServiceSpec {
  readonly listen: LocalSpec;
}

/** One local port and where it leads. A service with TCP and UDP on one port gives two. */
export interface Forward extends Target {
  readonly listen: Address;
}

/** Reads `SERVICE` or `SERVICE:PORT`. Throws UsageError. */
export function parseServiceSpec(text: string): ServiceSpec {
  const match = /^([^:=\s]+)(?::(\d{1,5}))?$/.exec(text);
  const port = Number(match?.[2] ?? 0);
  if (!match || port > 65_535 || match[2] === '0') {
    throw new UsageError(
      `'${text}' is not SERVICE or SERVICE:PORT`,
      'write web, or web:443 for one of its ports',
    );
  }
  return { service: match[1] ?? '', port };
}

/** Reads `PORT` or `ADDRESS:PORT`. Throws UsageError. */
export function parseLocal(text: string): LocalSpec {
  const address = /^\d{1,5}$/.test(text) ? { port: Number(text) } : parseListenAddress(text);
  if (address && address.port <= 65_535) return address;
  const named = parseAddress(text) !== undefined;
  throw new UsageError(
    named ? `'${text}': only addresses can be listened on` : `'${text}' is not PORT or ADDRESS:PORT`,
    'write 8080, 127.0.0.1:8080 or [::1]:8080; port 0 takes a free one',
  );
}

/** Reads `SERVICE[:PORT]=[ADDRESS:]LOCALPORT`. Throws UsageError. */
export function parseMapping(text: string): ForwardSpec {
  const at = text.indexOf('=');
  if (at < 0) {
    throw new UsageError(
      `'${text}' is not SERVICE[:PORT]=LOCALPORT`,
      'write for example --map db:5432=15432',
    );
  }
  return { ...parseServiceSpec(text.slice(0, at)), listen: parseLocal(text.slice(at + 1)) };
}

/** What is to be listened on for a spec, by the ports that the service has. Throws ZtnaError. */
export function planForwards(
  spec: ServiceSpec & { readonly listen: Address },
  services: readonly AgentService[],
  only: TransportProtocol | undefined,
): Forward[] {
  const service = findService(services, spec.service);
  const candidates = service.ports.filter(
    ({ transport, port }) =>
      (spec.port === 0 || port === spec.port) && (only === undefined || transport === only),
  );
  const numbers = new Set(candidates.map(({ port }) => port));
  const kind = only === undefined ? '' : ` ${only}`;
  if (numbers.size === 0) {
    const wanted = spec.port === 0 ? `${kind} port` : `${kind} port ${spec.port}`;
    throw unknownPort(service, `service ${service.name} has no${wanted}`);
  }
  if (numbers.size > 1) {
    throw unknownPort(
      service,
      `service ${service.name} has several${kind} ports: say which, ${service.name}:PORT`,
    );
  }
  return candidates.map(({ transport, port }) => {
    return { service: service.name as ServiceName, transport, port, listen: spec.listen };
  });
}
