import { type TransportProtocol, ZtnaError } from '@ztna/wire';
import { findPort, findService, type Target } from '../services.ts';
import { resolveHost } from './destination.ts';
import type { ProxyContext } from './start.ts';

/** What a client asked for, by name. */
export interface Destination {
  readonly host: string;
  readonly port: number;
}

/** The service's port that a proxy client means. Throws a ZtnaError that says why there is none. */
export function findTarget(
  { agent, domain }: ProxyContext,
  transport: TransportProtocol,
  { host, port }: Destination,
): Target {
  const resolved = resolveHost(host, domain);
  if (!resolved.ok) {
    throw new ZtnaError({ code: 'not-authorized', fault: 'policy', happened: resolved.reason });
  }
  const service = findService(agent.services(), resolved.service);
  return { service: service.name, transport, port: findPort(service, transport, port).port };
}
