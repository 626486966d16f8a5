import { expect } from 'vitest';
import { access, scenario, startUsual, usual } from '../lab/index.ts';

const targets = {
  'another network': access('symmetric', 'mobile'),
  'a network with a smaller MTU that nobody tells': access('cgnat', 'mobile', {
    link: { mtu: 1280, blackHole: true },
  }),
  'a network with IPv6 alone': access('ipv6-only', 'mobile'),
};

for (const [what, networks] of Object.entries(targets)) {
  const hosts = { laptop: { uplinks: ['home', 'mobile'] } };
  scenario(
    `roam-agent: a TCP connection goes on when the host moves to ${what}`,
    usual({ networks, hosts }),
    async (lab) => {
      const { agent } = await startUsual(lab);
      const tcp = await agent.echo('server', 'tcp', { size: 1000 });
      await tcp.alive();

      await lab.roam('laptop', 'mobile');
      const { longestGapMs } = await tcp.alive();

      console.log(`roam to ${what}: ${Math.round(longestGapMs)} ms without an answer`);
      expect((await tcp.stats()).ended).toBeUndefined();
      expect(await agent.fetch('server', '/bytes/1000000')).toMatchObject({ exit: 0, bytes: 1_000_000 });
    },
  );
}
