import type { AgentContent, ConnectorContent, DirectPaths, ServiceName } from '@ztna/wire';
import { type Requester, rulesFor } from './evaluate.ts';
import { isRevoked } from './revocation.ts';

/** Deny is stricter than require, require than allow; nothing at all allows. */
export function strictest(all: readonly DirectPaths[]): DirectPaths {
  if (all.includes('deny')) return 'deny';
  return all.includes('require') ? 'require' : 'allow';
}

/**
 * At an agent: may it use direct paths for flows of this service? A service that its snapshot does not name: deny.
 */
export function directAtAgent(content: AgentContent, service: ServiceName): DirectPaths {
  return content.services.find(({ name }) => name === service)?.direct ?? 'deny';
}

/**
 * At a connector: may this agent use direct paths for flows of this service? The strictest of the service and of every
 * rule that lets the agent reach it. A service that it may not reach: deny.
 */
export function directAtConnector(
  content: ConnectorContent,
  who: Requester,
  service: ServiceName,
): DirectPaths {
  const served = content.services.find(({ name }) => name === service);
  const rules = rulesFor(content.rules, who, service);
  if (!served || rules.length === 0 || isRevoked(content.revoked, { id: who.agent })) return 'deny';
  return strictest([served.direct, ...rules.map(({ direct }) => direct)]);
}

/**
 * What holds for a whole session: the strictest over the services of its grant that may be reached at all. With none
 * of these, deny. `direct` gives what holds for one service, `mayReach` whether the own snapshot allows it.
 */
export function directOfSession(
  services: readonly ServiceName[],
  mayReach: (service: ServiceName) => boolean,
  direct: (service: ServiceName) => DirectPaths,
): DirectPaths {
  const reachable = services.filter(mayReach);
  return reachable.length === 0 ? 'deny' : strictest(reachable.map(direct));
}
