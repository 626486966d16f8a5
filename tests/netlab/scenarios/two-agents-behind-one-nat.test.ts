import { expect } from 'vitest';
import { scenario, startUsual, usual } from '../lab/index.ts';

scenario(
  'two agents behind one NAT, on the same local port, do not disturb each other',
  usual({ hosts: { tablet: { uplinks: ['home'] } } }),
  async (lab) => {
    const samePort = { config: { listen: '[::]:50000' } };
    const { ztna, agent } = await startUsual(lab, { agents: ['laptop', 'tablet'], agent: samePort });
    const other = await ztna.startAgent('tablet', samePort);
    const echoes = [await agent.echo('server', 'tcp'), await other.echo('server', 'tcp')];
    for (const echo of echoes) await echo.alive();

    const pages = await Promise.all([
      agent.fetch('server', '/bytes/1000000'),
      other.fetch('server', '/bytes/1000000'),
    ]);
    await agent.process.kill();
    await echoes[1]?.alive();

    expect(pages).toMatchObject([{ bytes: 1_000_000 }, { bytes: 1_000_000 }]);
  },
);
