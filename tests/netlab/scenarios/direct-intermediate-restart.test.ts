import { expect } from 'vitest';
import { scenario, startDirect, usual } from '../lab/index.ts';

scenario(
  'direct-intermediate-restart: a direct session does not notice that its only intermediate is started again',
  usual(),
  async (lab) => {
    const { ztna, agent, tcp, udp, alive } = await startDirect(lab, { intermediates: ['relay1'] });

    const connected = agent.event('intermediate.connected');
    await ztna.process('relay1').stop();
    const relay = await ztna.startIntermediate('relay1');
    await connected;
    await relay.logged(({ event }) => event === 'session.attached', { what: 'carrying the session again' });
    const gaps = await alive();
    const { path } = await agent.session('server');

    console.log(`intermediate restart while direct: ${JSON.stringify(gaps)}`);
    expect(path?.path).toBe('direct');
    expect(Math.max(gaps.tcpMs, gaps.udpMs)).toBeLessThan(1_000);
    for (const echo of [tcp, udp]) expect((await echo.stats()).ended).toBeUndefined();
    expect(await agent.fetch('server')).toMatchObject({ status: 200 });
  },
);
