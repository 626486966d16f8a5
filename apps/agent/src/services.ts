import { nearest } from '@ztna/runtime';
import {
  type AgentService,
  type ServiceName,
  type ServicePort,
  type TransportProtocol,
  ZtnaError,
} from '@ztna/wire';

/** The service of this name; throws `unknown-service` with the nearest name and the list of what there is. */
export function findService(services: readonly AgentService[], name: string): AgentService {
  const found = services.find((service) => service.name === name);
  if (found) return found;
  const names = services.map((service) => service.name);
  const meant = nearest(name, names);
  const shown = names.slice(0, 20).join(', ') + (names.length > 20 ? `, and ${names.length - 20} more` : '');
  const reachable = names.length === 0 ? 'no service is granted to this agent' : `it may reach: ${shown}`;
  throw new ZtnaError({
    code: 'unknown-service',
    fault: 'config',
    happened: `there is no service ${JSON.stringify(name)} for this agent`,
    remedy: `${meant === undefined ? '' : `did you mean ${meant}? `}${reachable}; for more, ask who writes the policy`,
  });
}

/** The port of a service for this transport; throws `unknown-port` with the list of what there is. */
export function findPort(service: AgentService, transport: TransportProtocol, port: number): ServicePort {
  const candidates = service.ports.filter((p) => p.transport === transport);
  const [only] = candidates;
  if (port === 0 && candidates.length === 1 && only) return only;
  const found = candidates.find((p) => p.port === port);
  if (found) return found;
  const wanted = port === 0 ? `one ${transport} port` : `port ${transport}/${port}`;
  throw unknownPort(service, `service ${service.name} has not ${wanted}`);
}

export function unknownPort(service: AgentService, happened: string): ZtnaError {
  const remedy = `it has: ${listPorts(service)}`;
  return new ZtnaError({ code: 'unknown-port', fault: 'config', happened, remedy });
}

/** `tcp/80, udp/53`. */
export function listPorts(service: AgentService): string {
  return service.ports.map(({ transport, port }) => `${transport}/${port}`).join(', ') || 'no ports';
}

/** What a local side needs to ask for a flow. */
export interface Target {
  readonly service: ServiceName;
  readonly transport: TransportProtocol;
  readonly port: number;
}
