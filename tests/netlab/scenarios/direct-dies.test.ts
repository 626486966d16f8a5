import { expect } from 'vitest';
import { scenario, startDirect, usual } from '../lab/index.ts';

scenario(
  'direct-dies: flows go on over the relay, and back to a direct path when there can be one',
  usual(),
  async (lab) => {
    const { agent, tcp, alive, quiet } = await startDirect(lab);

    const before = agent.now();
    await lab.separate('home', 'office');
    await agent.becomes('server', 'relayed', before);
    const gaps = await alive();
    await quiet();
    const healed = agent.now();
    await lab.rejoin('home', 'office');
    await agent.becomes('server', 'direct', healed);
    const back = await alive();

    console.log(`direct path dies: ${JSON.stringify(gaps)}; back to direct: ${JSON.stringify(back)}`);
    expect(gaps.tcpMs).toBeLessThan(5_000);
    expect(gaps.udpMs).toBeLessThan(5_000);
    expect(back.tcpMs).toBeLessThan(1_000);
    expect((await tcp.stats()).ended).toBeUndefined();
  },
);
