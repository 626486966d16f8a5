import { expect } from 'vitest';
import { scenario, startUsual, usual } from '../lab/index.ts';

scenario(
  'a TCP connection goes on when the only intermediate is killed and started again',
  usual(),
  async (lab) => {
    const { ztna, agent } = await startUsual(lab, { intermediates: ['relay1'], direct: 'deny' });
    const tcp = await agent.echo('server', 'tcp');
    await tcp.alive();

    await ztna.process('relay1').kill();
    await ztna.startIntermediate('relay1');
    const { longestGapMs } = await tcp.alive();

    console.log(`intermediate restart: ${Math.round(longestGapMs)} ms without an answer`);
    expect((await tcp.stats()).ended).toBeUndefined();
    expect(await agent.fetch('server')).toMatchObject({ status: 200 });
  },
);
