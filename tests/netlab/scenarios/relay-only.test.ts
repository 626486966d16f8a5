import { expect } from 'vitest';
import { access, scenario, startUsual, usual } from '../lab/index.ts';

const networks = { ...access('symmetric', 'home'), ...access('symmetric', 'office') };

scenario(
  'a session goes through a relay where nothing else passes between both networks',
  usual({ networks }),
  async (lab) => {
    await lab.separate('home', 'office');
    const { agent } = await startUsual(lab);

    const page = await agent.fetch('server');
    const bytes = await agent.fetch('server', '/bytes/1000000');
    const tcp = await agent.echo('server', 'tcp');
    const udp = await agent.echo('server', 'udp');
    await tcp.alive();
    await udp.alive();

    expect(page).toMatchObject({ exit: 0, status: 200 });
    expect(bytes).toMatchObject({ exit: 0, status: 200, bytes: 1_000_000 });
    expect((await agent.metrics()).get('ztna_agent_flows')).toBeGreaterThanOrEqual(2);
    expect(agent.warnings()).toEqual([]);
  },
);
