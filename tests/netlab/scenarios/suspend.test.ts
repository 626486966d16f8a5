// SIGSTOP for some seconds: the process does not run while its peers' clocks, and its own monotonic one, go on.
// So it shows late timers and peers that heard nothing, but not a monotonic clock that stood still, as in the
// sleep of a whole machine; no process can be given that without one.
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { scenario, startUsual, usual } from '../lab/index.ts';

const stoppedMs = 5_000;

scenario(
  `suspend: a TCP connection outlives an agent that stood still for ${stoppedMs / 1000} s`,
  usual(),
  async (lab) => {
    const { agent } = await startUsual(lab);
    const tcp = await agent.echo('server', 'tcp');
    await tcp.alive();

    agent.process.signal('SIGSTOP');
    await sleep(stoppedMs);
    agent.process.signal('SIGCONT');
    const { longestGapMs } = await tcp.alive();

    console.log(`suspended for ${stoppedMs} ms: ${Math.round(longestGapMs)} ms without an answer`);
    expect(longestGapMs).toBeGreaterThan(stoppedMs * 0.9);
    expect((await tcp.stats()).ended).toBeUndefined();
  },
);
