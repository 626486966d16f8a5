import type { Agent, AgentOptions } from './agent.ts';
import type { Lab } from './lab.ts';
import { access, type Host, type Network, type Topology } from './topology.ts';
import { startZtna, type Ztna, type ZtnaOptions } from './ztna.ts';

/** What most scenarios look like: `laptop` in `home`, `server` in `office`, `relay1` and `relay2` on the internet. */
export function usual(
  more: {
    /** Instead of networks with port-restricted NATs. */
    readonly networks?: Readonly<Record<string, Network>>;
    /** Further hosts, or others of the usual names. */
    readonly hosts?: Readonly<Record<string, Host>>;
  } = {},
): Topology {
  const networks = { ...access('port-restricted', 'home'), ...access('port-restricted', 'office') };
  const relay = { uplinks: ['internet'] };
  const hosts = {
    relay1: relay,
    relay2: relay,
    laptop: { uplinks: ['home'] },
    server: { uplinks: ['office'] },
  };
  return { networks: { ...networks, ...more.networks }, hosts: { ...hosts, ...more.hosts } };
}

/** Starts intermediates on both relays, a connector on `server`, and an agent on `laptop`. */
export async function startUsual(
  lab: Lab,
  options: Partial<ZtnaOptions> & { readonly agent?: AgentOptions } = {},
): Promise<{ readonly ztna: Ztna; readonly agent: Agent }> {
  const { agent: agentOptions, ...more } = options;
  const hosts = { intermediates: ['relay1', 'relay2'], connectors: ['server'], agents: ['laptop'] };
  const ztna = await startZtna(lab, { ...hosts, ...more });
  return { ztna, agent: await ztna.startAgent('laptop', agentOptions) };
}
