import { expect } from 'vitest';
import { scenario, startDirect, usual } from '../lab/index.ts';

const partitionMs = 5_000;

scenario(
  `direct-partition: flows of a direct session outlive ${partitionMs / 1000} s without any path`,
  usual(),
  async (lab) => {
    const { agent, tcp, alive } = await startDirect(lab);

    const before = agent.now();
    await lab.partition('home');
    await tcp.silent(partitionMs);
    await lab.heal('home');
    const { tcpMs, udpMs } = await alive();
    const back = await agent.returns('server', before);

    console.log(`direct, partition of ${partitionMs} ms: TCP ${tcpMs}, UDP ${udpMs}; direct: ${back}`);
    expect((await tcp.stats()).ended).toBeUndefined();
    expect(await agent.fetch('server')).toMatchObject({ status: 200 });
  },
);
