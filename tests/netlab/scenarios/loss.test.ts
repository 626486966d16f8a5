import { expect } from 'vitest';
import { access, scenario, startUsual, usual } from '../lab/index.ts';

for (const lossPercent of [1, 5, 10]) {
  const networks = access('port-restricted', 'home', { link: { lossPercent, delayMs: 10 } });
  scenario(
    `loss-${lossPercent}-percent: a session works, all bytes arrive`,
    usual({ networks }),
    async (lab) => {
      const { agent } = await startUsual(lab);

      const down = await agent.fetch('server', '/bytes/1000000');
      const tcp = await agent.echo('server', 'tcp');
      await tcp.alive();

      console.log(`loss of ${lossPercent} %, 20 ms: 1 MB in ${Math.round(down.totalMs)} ms`);
      expect(down).toMatchObject({ exit: 0, bytes: 1_000_000 });
      expect((await tcp.stats()).ended).toBeUndefined();
    },
  );
}
