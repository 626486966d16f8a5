import { expect } from 'vitest';
import { directAloneComesBack, scenario, startDirect, usual } from '../lab/index.ts';

const relays = ['relay1', 'relay2'];
// Longer than the 30 s after which a direct path of which nothing is heard is closed while another lives.
const outageMs = 40_000;

directAloneComesBack(outageMs);

scenario(
  'direct-alone: with no intermediate to reach, flows outlive an outage of the direct path',
  usual(),
  async (lab) => {
    const { agent, tcp, alive } = await startDirect(lab);

    const gone = agent.event('intermediate.lost');
    for (const relay of relays) await lab.separate('home', relay);
    await gone;
    await alive();
    await lab.separate('home', 'office');
    await tcp.silent(outageMs);
    await lab.rejoin('home', 'office');
    const { tcpMs, udpMs } = await alive();

    console.log(`no intermediate, ${outageMs} ms without the direct path: TCP ${tcpMs} ms, UDP ${udpMs} ms`);
    expect((await tcp.stats()).ended).toBeUndefined();
    expect((await agent.session('server')).path?.path).toBe('direct');
  },
);
