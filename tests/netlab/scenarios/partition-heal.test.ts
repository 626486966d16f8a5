import { expect } from 'vitest';
import { scenario, startUsual, usual } from '../lab/index.ts';

const partitionMs = 5_000;

for (const [node, who] of [
  ['home', "the agent's network"],
  ['office', "the connector's network"],
] as const) {
  scenario(`a TCP connection outlives a partition of ${who}`, usual(), async (lab) => {
    const { agent } = await startUsual(lab);
    const tcp = await agent.echo('server', 'tcp');
    await tcp.alive();

    await lab.partition(node);
    await tcp.silent(partitionMs);
    await lab.heal(node);
    const { longestGapMs } = await tcp.alive();

    console.log(
      `partition of ${node} for ${partitionMs} ms: ${Math.round(longestGapMs)} ms without an answer`,
    );
    expect((await tcp.stats()).ended).toBeUndefined();
    expect(await agent.fetch('server')).toMatchObject({ status: 200 });
  });
}
