import type { Agent, AgentOptions } from './agent.ts';
import type { Lab } from './lab.ts';
import type { Echo } from './probe.ts';
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

/** What runs over a direct path: a connection with about half a megabyte a second, and datagrams. */
export interface Direct {
  readonly ztna: Ztna;
  readonly agent: Agent;
  readonly tcp: Echo;
  readonly udp: Echo;
  /** Ends when both flows are alive; how long each went without an answer since `quiet`. */
  alive(): Promise<{ readonly tcpMs: number; readonly udpMs: number; readonly udpLost: number }>;
  /** Gaps are measured from now on. */
  quiet(): Promise<void>;
}

/** As `startUsual`, and waits until the session to `server` is on a direct path with flows over it. */
export async function startDirect(lab: Lab, options: Parameters<typeof startUsual>[1] = {}): Promise<Direct> {
  const { ztna, agent } = await startUsual(lab, options);
  const tcp = await agent.echo('server', 'tcp', { size: 10_000, everyMs: 20 });
  const udp = await agent.echo('server', 'udp', { everyMs: 10 });
  await agent.becomes('server', 'direct');
  const quiet = async () => {
    await Promise.all([tcp.alive(), udp.alive()]);
    await Promise.all([tcp.fresh(), udp.fresh()]);
  };
  await quiet();
  const alive = async () => {
    const [stream, datagrams] = await Promise.all([tcp.alive(), udp.alive()]);
    const { sent, received } = datagrams;
    return { tcpMs: stream.longestGapMs, udpMs: datagrams.longestGapMs, udpLost: sent - received };
  };
  return { ztna, agent, tcp, udp, alive, quiet };
}
