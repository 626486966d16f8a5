import { expect } from 'vitest';
import { access, scenario, startDirect, usual } from '../lab/index.ts';

const targets = {
  'another network': access('port-restricted', 'mobile'),
  'a network with a smaller MTU that nobody tells': access('cgnat', 'mobile', {
    link: { mtu: 1280, blackHole: true },
  }),
};

for (const host of ['laptop', 'server']) {
  for (const [what, networks] of Object.entries(targets)) {
    const home = host === 'laptop' ? 'home' : 'office';
    const hosts = { [host]: { uplinks: [home, 'mobile'] } };
    scenario(
      `direct-roam: ${host} moves to ${what}, flows live on and are direct again`,
      usual({ networks, hosts }),
      async (lab) => {
        const { agent, tcp, alive } = await startDirect(lab);

        const before = agent.now();
        const moved = performance.now();
        await lab.roam(host, 'mobile');
        const gaps = await alive();
        await agent.becomes('server', 'relayed', before);
        await agent.becomes('server', 'direct', before);
        const directMs = Math.round(performance.now() - moved);
        await alive();

        console.log(`${host} roams to ${what}: ${JSON.stringify(gaps)}, direct after ${directMs} ms`);
        expect((await tcp.stats()).ended).toBeUndefined();
        expect(await agent.fetch('server', '/bytes/1000000')).toMatchObject({ exit: 0, bytes: 1_000_000 });
      },
    );
  }
}
