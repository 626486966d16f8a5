import { expect } from 'vitest';
import { scenario, startUsual, usual } from '../lab/index.ts';

// Longer than the idle timeout of the outer connections (30 s), shorter than that of the session (120 s).
const partitionMs = 45_000;

scenario(
  "a TCP connection outlives a partition in which the agent's connection to its intermediate dies",
  usual(),
  async (lab) => {
    const { agent } = await startUsual(lab);
    const tcp = await agent.echo('server', 'tcp', { everyMs: 500 });
    await tcp.alive();

    await lab.partition('home');
    await tcp.silent(partitionMs);
    await lab.heal('home');
    const { longestGapMs } = await tcp.alive();

    console.log(`partition for ${partitionMs} ms: ${Math.round(longestGapMs)} ms without an answer`);
    expect((await tcp.stats()).ended).toBeUndefined();
  },
);
