import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { scenario, startDirect, usual } from '../lab/index.ts';

// Longer than the idle timeouts of direct paths and outer connections (30 s), shorter than that of the session (120 s).
const stoppedMs = 40_000;

scenario(
  `direct-suspend: flows of a direct session outlive an agent that stood still for ${stoppedMs / 1000} s`,
  usual(),
  async (lab) => {
    const { agent, tcp, alive } = await startDirect(lab);

    agent.process.signal('SIGSTOP');
    await sleep(stoppedMs);
    const woken = agent.now();
    agent.process.signal('SIGCONT');
    const { tcpMs, udpMs } = await alive();
    const directMs = await agent.returns('server', woken);

    console.log(
      `direct, suspended for ${stoppedMs} ms: TCP ${tcpMs} ms, UDP ${udpMs} ms; direct: ${directMs}`,
    );
    expect(tcpMs).toBeGreaterThan(stoppedMs * 0.9);
    expect(tcpMs).toBeLessThan(stoppedMs + 5_000);
    expect((await tcp.stats()).ended).toBeUndefined();
  },
);
