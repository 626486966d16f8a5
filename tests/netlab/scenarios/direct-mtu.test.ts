import { expect } from 'vitest';
import { access, type Network, scenario, startDirect, usual } from '../lab/index.ts';

const links = {
  'mtu-1280: a link of 1280 bytes': { mtu: 1280 },
  'mtu-blackhole: 1280 bytes, and nobody says so': { mtu: 1280, blackHole: true },
  'mtu-blackhole: 1400 bytes, and nobody says so': { mtu: 1400, blackHole: true },
} satisfies Record<string, Network['link']>;

for (const [name, link] of Object.entries(links)) {
  scenario(
    `direct-${name}: a direct path carries streams and datagrams`,
    usual({ networks: access('port-restricted', 'home', { link }) }),
    async (lab) => {
      const { agent, tcp, alive } = await startDirect(lab);

      const down = await agent.fetch('server', '/bytes/2000000');
      const large = await agent.echo('server', 'udp', { size: 1400 });
      await large.alive();
      await alive();
      const found = async () => (await agent.session('server')).path?.mtu;
      await expect.poll(found, { timeout: 30_000, interval: 500 }).toBeGreaterThan(1200);
      const { path } = await agent.session('server');

      console.log(`${name}: 2 MB in ${Math.round(down.totalMs)} ms, path MTU ${path?.mtu}`);
      expect(down).toMatchObject({ exit: 0, bytes: 2_000_000 });
      expect(path?.path).toBe('direct');
      // Without the IPv4 and UDP headers.
      expect(path?.mtu).toBeLessThanOrEqual(link.mtu - 28);
      expect((await tcp.stats()).ended).toBeUndefined();
      expect(agent.warnings()).toEqual([]);
    },
  );
}
