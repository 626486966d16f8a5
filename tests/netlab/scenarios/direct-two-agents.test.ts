import { expect } from 'vitest';
import { scenario, startUsual, usual } from '../lab/index.ts';

scenario(
  'direct-two-agents: two agents behind one NAT, on the same local port, are both direct',
  usual({ hosts: { tablet: { uplinks: ['home'] } } }),
  async (lab) => {
    const samePort = { config: { listen: '[::]:50000' } };
    const { ztna, agent } = await startUsual(lab, { agents: ['laptop', 'tablet'], agent: samePort });
    const other = await ztna.startAgent('tablet', samePort);
    const agents = [agent, other];
    const echoes = [];
    for (const one of agents) echoes.push(await one.echo('server', 'tcp'));
    for (const one of agents) await one.becomes('server', 'direct');

    const pages = await Promise.all(agents.map((one) => one.fetch('server', '/bytes/1000000')));
    for (const echo of echoes) await echo.alive();
    for (const one of agents) expect((await one.session('server')).path?.path).toBe('direct');
    await agent.process.kill();
    await echoes[1]?.alive();

    expect(pages).toMatchObject([{ bytes: 1_000_000 }, { bytes: 1_000_000 }]);
    expect((await other.session('server')).path?.path).toBe('direct');
  },
);
