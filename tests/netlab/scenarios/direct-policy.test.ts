import { expect } from 'vitest';
import { scenario, startDirect, startUsual, usual } from '../lab/index.ts';

scenario('direct-policy: `deny` keeps a session on the relay', usual(), async (lab) => {
  const { agent } = await startUsual(lab, { direct: 'deny' });
  const tcp = await agent.echo('server', 'tcp');
  await tcp.alive();
  const { path } = await agent.session('server');

  expect(path).toMatchObject({ path: 'relayed', reason: 'policy' });
  await lab.separate('home', 'office');
  await tcp.alive();
  expect((await tcp.stats()).longestGapMs).toBeLessThan(1_000);
});

scenario(
  'direct-policy: `require` fails flows with a reason where no direct path is possible',
  usual(),
  async (lab) => {
    await lab.separate('home', 'office');
    const config = { openTimeoutMs: 3_000 };
    const { agent } = await startUsual(lab, { direct: 'require', agent: { config } });

    const page = await agent.fetch('server');
    const refused = await agent.process.logged(
      ({ msg, reason }) => msg === 'flow failed' && `${reason}`.includes('requires a direct path'),
      { what: 'saying why' },
    );
    const { path } = await agent.session('server');

    console.log(
      `require, and no path: curl ${page.exit} after ${Math.round(page.totalMs)} ms; ${refused.reason}`,
    );
    expect(page.status).toBe(0);
    expect([0, 28]).not.toContain(page.exit);
    expect(['waiting', 'none']).toContain(path?.path);
  },
);

scenario(
  'direct-policy: flows of `require` end with their direct path, and new ones work with the next',
  usual(),
  async (lab) => {
    const { agent, tcp } = await startDirect(lab, { direct: 'require' });

    const before = agent.now();
    await lab.separate('home', 'office');
    await agent.becomes('server', 'waiting', before);
    await expect(tcp.alive()).rejects.toThrow();
    const ended = (await tcp.stats()).ended;
    const healed = agent.now();
    await lab.rejoin('home', 'office');
    await agent.becomes('server', 'direct', healed);

    console.log(`require, and the path dies: the connection was ${ended}`);
    expect(await agent.fetch('server')).toMatchObject({ status: 200 });
  },
);
