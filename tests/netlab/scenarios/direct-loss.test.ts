import { expect } from 'vitest';
import { scenario, startDirect, usual } from '../lab/index.ts';

for (const lossPercent of [1, 5, 10]) {
  scenario(
    `direct-loss: a direct path that loses ${lossPercent} % while the relay is clean`,
    usual(),
    async (lab) => {
      const { agent, tcp, alive } = await startDirect(lab);

      const before = agent.now();
      await lab.separate('home', 'office', { lossPercent });
      if (lossPercent > 5) await agent.becomes('server', 'relayed', before);
      const down = await agent.fetch('server', '/bytes/1000000');
      const gaps = await alive();
      const { path } = await agent.session('server');

      const figures = `1 MB in ${Math.round(down.totalMs)} ms over ${path?.path}, ${JSON.stringify(gaps)}`;
      console.log(`direct path with a loss of ${lossPercent} %: ${figures}`);
      expect(down).toMatchObject({ exit: 0, bytes: 1_000_000 });
      if (lossPercent < 5) expect(path?.path).toBe('direct');
      expect((await tcp.stats()).ended).toBeUndefined();
    },
  );
}
