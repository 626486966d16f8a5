import { expect } from 'vitest';
import { scenario, startUsual, usual } from '../lab/index.ts';

scenario(
  'a TCP connection goes on through the other intermediate when its own is killed',
  usual(),
  async (lab) => {
    const { ztna, agent } = await startUsual(lab, { direct: 'deny' });
    const tcp = await agent.echo('server', 'tcp');
    const udp = await agent.echo('server', 'udp');
    await tcp.alive();
    await udp.alive();
    const { intermediate } = await agent.event('intermediate.connected', 0);

    await ztna.process(String(intermediate)).kill();
    const { longestGapMs } = await tcp.alive();
    await udp.alive();

    console.log(`relay failover: ${Math.round(longestGapMs)} ms without an answer`);
    expect((await tcp.stats()).ended).toBeUndefined();
    expect(await agent.fetch('server')).toMatchObject({ status: 200 });
  },
);
