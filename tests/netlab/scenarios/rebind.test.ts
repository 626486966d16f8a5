import { expect } from 'vitest';
import { scenario, startUsual, usual } from '../lab/index.ts';

for (const network of ['home', 'office']) {
  scenario(
    `rebind: a TCP connection goes on when the NAT of ${network} forgets its mappings`,
    usual(),
    async (lab) => {
      const { agent } = await startUsual(lab);
      const tcp = await agent.echo('server', 'tcp');
      const udp = await agent.echo('server', 'udp');
      await tcp.alive();
      await udp.alive();

      await lab.rebind(network);
      const { longestGapMs } = await tcp.alive();
      await udp.alive();

      console.log(`rebind of ${network}: ${Math.round(longestGapMs)} ms without an answer`);
      expect((await tcp.stats()).ended).toBeUndefined();
    },
  );
}
