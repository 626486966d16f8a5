import { expect } from 'vitest';
import { scenario, startDirect, usual } from '../lab/index.ts';

for (const network of ['home', 'office']) {
  scenario(
    `direct-rebind: the NAT of ${network} forgets its mappings under a direct path`,
    usual(),
    async (lab) => {
      const { agent, tcp, alive } = await startDirect(lab);

      const before = agent.now();
      await lab.rebind(network);
      const gaps = await alive();
      await agent.becomes('server', 'relayed', before);
      await agent.becomes('server', 'direct', before);
      await alive();

      console.log(`rebind of ${network} while direct: ${JSON.stringify(gaps)}`);
      expect((await tcp.stats()).ended).toBeUndefined();
    },
  );
}
