import { expect } from 'vitest';
import { type AccessKind, access, scenario, startDirect, usual } from '../lab/index.ts';

const both = (kind: AccessKind) => ({ ...access(kind, 'home'), ...access(kind, 'office') });

for (const kind of ['ipv6-only', 'dual-stack'] as const) {
  scenario(
    `direct-ipv6: two sites with ${kind} are direct over IPv6`,
    usual({ networks: both(kind) }),
    async (lab) => {
      const { agent, alive } = await startDirect(lab);
      // Of alike paths IPv6 is taken; one that comes first is in use meanwhile.
      const remote = async () => (await agent.session('server')).path?.remote;
      if (kind === 'ipv6-only') expect(await remote()).toContain(`[${lab.address('server', 'ipv6')}]`);
      const gaps = await alive();

      console.log(`${kind}: ${await remote()}, ${JSON.stringify(gaps)}`);
      expect((await agent.session('server')).path?.path).toBe('direct');
    },
  );
}
