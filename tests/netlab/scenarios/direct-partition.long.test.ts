import { expect } from 'vitest';
import { scenario, startDirect, usual } from '../lab/index.ts';

// Shorter and longer than the idle timeout of a session, 120 s.
const shorterMs = 45_000;
const longerMs = 130_000;

scenario(
  `direct-partition: flows of a direct session outlive ${shorterMs / 1000} s without any path`,
  usual(),
  async (lab) => {
    const { agent, tcp, alive } = await startDirect(lab);

    const before = agent.now();
    await lab.partition('home');
    await tcp.silent(shorterMs);
    await lab.heal('home');
    const { tcpMs, udpMs } = await alive();
    const back = await agent.returns('server', before);

    console.log(`direct, partition of ${shorterMs} ms: TCP ${tcpMs}, UDP ${udpMs}; direct: ${back}`);
    expect((await tcp.stats()).ended).toBeUndefined();
  },
);

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
