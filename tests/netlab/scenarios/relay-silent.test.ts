// An intermediate that says nothing any more, and nobody who says so: no ICMP, as there is when its process ended.
import { expect } from 'vitest';
import { scenario, startUsual, startZtna, usual } from '../lab/index.ts';

scenario(
  'relay-silent: a TCP connection goes on through the other intermediate when its own falls silent',
  usual(),
  async (lab) => {
    const { agent } = await startUsual(lab, { direct: 'deny' });
    const tcp = await agent.echo('server', 'tcp');
    await tcp.alive();
    const { intermediate } = await agent.event('intermediate.connected', 0);

    await lab.partition(String(intermediate));
    const { longestGapMs } = await tcp.alive();

    console.log(`silent intermediate: ${Math.round(longestGapMs)} ms without an answer`);
    expect(longestGapMs).toBeLessThan(5_000);
    expect((await tcp.stats()).ended).toBeUndefined();
  },
);

for (const silent of ['relay1', 'relay2']) {
  scenario(`relay-silent: an agent starts while ${silent} says nothing`, usual(), async (lab) => {
    const ztna = await startZtna(lab, {
      ...{ intermediates: ['relay1', 'relay2'], connectors: ['server'], agents: ['laptop'] },
    });
    await lab.partition(silent);
    const agent = await ztna.startAgent('laptop');
    const page = await agent.fetch('server');

    console.log(`start beside a silent ${silent}: first byte after ${Math.round(page.firstByteMs)} ms`);
    expect(page).toMatchObject({ status: 200 });
    expect(page.firstByteMs).toBeLessThan(5_000);
  });
}
