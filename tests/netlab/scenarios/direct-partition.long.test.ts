import { expect } from 'vitest';
import { outlivesPartition, scenario, startDirect, usual } from '../lab/index.ts';

// Shorter and longer than the idle timeout of a session, 120 s.
const shorterMs = 45_000;
const longerMs = 130_000;

outlivesPartition(shorterMs);

scenario(
  `direct-partition: after ${longerMs / 1000} s without any path flows are ended, and a new session works`,
  usual(),
  async (lab) => {
    const { agent, tcp } = await startDirect(lab);

    await lab.partition('home');
    await agent.process.logged(({ event }) => event === 'session.lost', {
      what: 'losing the session',
      withinMs: longerMs,
    });
    await expect(tcp.alive()).rejects.toThrow();
    const healed = agent.now();
    await lab.heal('home');
    const page = await agent.fetch('server');
    await agent.becomes('server', 'direct', healed);

    console.log(`beyond the idle timeout: ${(await tcp.stats()).ended}; then ${Math.round(page.totalMs)} ms`);
    expect(page).toMatchObject({ status: 200 });
  },
  300_000,
);
