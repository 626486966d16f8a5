import { expect } from 'vitest';
import { access, type Network, scenario, startUsual, usual } from '../lab/index.ts';

const kinds = {
  'PCP, at the connector': { host: 'server', mapsPorts: 'pcp' },
  'UPnP, at the agent': { host: 'laptop', mapsPorts: 'upnp' },
} as const satisfies Record<string, { host: string; mapsPorts: Network['mapsPorts'] }>;

for (const [name, { host, mapsPorts }] of Object.entries(kinds)) {
  const home = host === 'laptop' ? 'home' : 'office';
  scenario(
    `direct-mapped: two symmetric NATs are relayed, and direct by a port that one of them maps (${name})`,
    usual({
      networks: {
        ...access('symmetric', 'home'),
        ...access('symmetric', 'office'),
        ...access('symmetric', 'mapped', { mapsPorts }),
      },
      hosts: { [host]: { uplinks: [home, 'mapped'] } },
    }),
    async (lab) => {
      const { agent } = await startUsual(lab);
      const tcp = await agent.echo('server', 'tcp');
      await tcp.alive();
      const without = await agent.process.logged(({ reason }) => reason === 'symmetric-nat-both-sides', {
        what: 'relayed because of both NATs',
      });
      const before = agent.now();
      await lab.roam(host, 'mapped');
      await agent.becomes('server', 'direct', before);
      await tcp.alive();
      const { path } = await agent.session('server');
      const rules = await lab.run('mapped', 'nft list table inet mapper');

      console.log(`${name}: ${without.path} (${without.reason}), then ${path?.path} to ${path?.remote}`);
      expect(without).toMatchObject({ path: 'relayed' });
      expect(path).toMatchObject({ path: 'direct' });
      expect(rules).toContain(`dnat ip to ${lab.address(host)}`);
      if (host === 'server') expect(path?.remote?.split(':')[0]).toBe(lab.address('mapped'));
      expect((await tcp.stats()).ended).toBeUndefined();
    },
  );
}
