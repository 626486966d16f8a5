import { expect } from 'vitest';
import { access, scenario, startUsual, usual } from '../lab/index.ts';

const kinds = {
  'mtu-1280: a link of 1280 bytes': access('port-restricted', 'home', { link: { mtu: 1280 } }),
  'mtu-1280 over IPv6': access('ipv6-only', 'home', { link: { mtu: 1280 } }),
  'mtu-blackhole: 1280 bytes, and nobody says so': access('port-restricted', 'home', {
    link: { mtu: 1280, blackHole: true },
  }),
  'mtu-blackhole: 1400 bytes, and nobody says so': access('port-restricted', 'home', {
    link: { mtu: 1400, blackHole: true },
  }),
};

for (const [name, networks] of Object.entries(kinds)) {
  scenario(`${name}: carries streams and datagrams`, usual({ networks }), async (lab) => {
    const { agent } = await startUsual(lab);

    const down = await agent.fetch('server', '/bytes/2000000');
    const large = await agent.echo('server', 'udp', { size: 1400 });
    await large.alive();
    const tcp = await agent.echo('server', 'tcp', { size: 20_000, everyMs: 50 });
    await tcp.alive();

    expect(down).toMatchObject({ exit: 0, bytes: 2_000_000 });
    expect(agent.warnings()).toEqual([]);
  });
}
