import { expect } from 'vitest';
import { type Network, scenario, startDirect, type Topology } from '../lab/index.ts';

const behindOne = (network: Network): Topology => ({
  networks: { home: network },
  hosts: {
    relay1: { uplinks: ['internet'] },
    relay2: { uplinks: ['internet'] },
    laptop: { uplinks: ['home'] },
    server: { uplinks: ['home'] },
  },
});

const kinds = {
  'through its outer address': { hairpin: true, showPrivateAddresses: false },
  'by private addresses, where the site shows them': { hairpin: false, showPrivateAddresses: true },
};

for (const [how, { hairpin, showPrivateAddresses }] of Object.entries(kinds)) {
  scenario(
    `direct-hairpin: agent and connector behind one NAT reach each other ${how}`,
    behindOne({ translation: 'port-restricted', hairpin }),
    async (lab) => {
      const { agent, alive } = await startDirect(lab, { showPrivateAddresses });
      await alive();
      const { path } = await agent.session('server');

      console.log(`behind one NAT, ${how}: ${path?.path} to ${path?.remote}`);
      expect(path?.path).toBe('direct');
      expect(path?.remote?.split(':')[0]).toBe(lab.address(showPrivateAddresses ? 'server' : 'home'));
    },
  );
}
