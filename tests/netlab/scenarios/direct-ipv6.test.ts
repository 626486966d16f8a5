import { expect } from 'vitest';
import { type AccessKind, type Agent, access, scenario, startDirect, usual } from '../lab/index.ts';

const both = (kind: AccessKind) => ({ ...access(kind, 'home'), ...access(kind, 'office') });

for (const kind of ['ipv6-only', 'dual-stack'] as const) {
  scenario(
    `direct-ipv6: two sites with ${kind} are direct over IPv6 in the end`,
    usual({ networks: both(kind) }),
    async (lab) => {
      const { agent, alive } = await startDirect(lab);
      const first = await remoteOf(agent);
      // Of alike paths IPv6 is taken; one that comes first is in use meanwhile.
      const wanted = expect.stringContaining(`[${lab.address('server', 'ipv6')}]`);
      await expect.poll(() => remoteOf(agent), { timeout: 60_000, interval: 500 }).toEqual(wanted);
      const gaps = await alive();

      console.log(`${kind}: ${first}, then ${await remoteOf(agent)}, ${JSON.stringify(gaps)}`);
      if (kind === 'ipv6-only') expect(first).toEqual(wanted);
      expect((await agent.session('server')).path?.path).toBe('direct');
    },
  );
}

const remoteOf = async (agent: Agent) => (await agent.session('server')).path?.remote;
