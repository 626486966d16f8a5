import { expect } from 'vitest';
import { scenario, startDirect, usual } from '../lab/index.ts';

const relays = ['relay1', 'relay2'];
// Longer than the 30 s after which a direct path of which nothing is heard is closed while another lives.
const outageMs = 40_000;

scenario(
  `direct-alone: after ${outageMs / 1000} s without any path only the direct one comes back, and carries what is sent from then on`,
  usual(),
  async (lab) => {
    const { agent, tcp, udp } = await startDirect(lab);

    for (const other of [...relays, 'office']) await lab.separate('home', other);
    await udp.silent(outageMs);
    await lab.rejoin('home', 'office');
    const back = performance.now();
    await udp.alive();
    const udpMs = Math.round(performance.now() - back);
    const page = await agent.fetch('server');
    const { path } = await agent.session('server');
    // What was on its way over the relay waits for the relay.
    for (const relay of relays) await lab.rejoin('home', relay);
    await tcp.alive();

    console.log(
      `only the direct path is back: UDP after ${udpMs} ms, page in ${Math.round(page.totalMs)} ms`,
    );
    // All paths are asked each second.
    expect(udpMs).toBeLessThan(5_000);
    expect(page).toMatchObject({ status: 200 });
    expect(path?.path).toBe('direct');
    expect((await tcp.stats()).ended).toBeUndefined();
  },
);

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
