import { expect } from 'vitest';
import { scenario, startDirect, usual } from '../lab/index.ts';

const relays = ['relay1', 'relay2'];
const outageMs = 45_000;

scenario(
  `relay-alone: after ${outageMs / 1000} s without any path only the relay comes back, and the flows go on over it`,
  usual(),
  async (lab) => {
    const { agent, tcp, alive } = await startDirect(lab);

    for (const other of [...relays, 'office']) await lab.separate('home', other);
    await tcp.silent(outageMs);
    for (const relay of relays) await lab.rejoin('home', relay);
    const { tcpMs, udpMs } = await alive();

    console.log(`only the relay is back after ${outageMs} ms: TCP ${tcpMs} ms, UDP ${udpMs} ms`);
    expect((await tcp.stats()).ended).toBeUndefined();
    expect(await agent.fetch('server')).toMatchObject({ status: 200 });
  },
);
