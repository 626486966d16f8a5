import { expect } from 'vitest';
import { access, scenario, startDirect, usual } from '../lab/index.ts';

scenario(
  'direct-status: `ztna status --json` says how a session travels, and how well',
  usual({ networks: access('port-restricted', 'home', { link: { delayMs: 10 } }) }),
  async (lab) => {
    const { agent } = await startDirect(lab);
    // Loss is told once 200 packets have been sent.
    const loss = async () => (await agent.session('server')).path?.loss;
    await expect.poll(loss, { timeout: 60_000, interval: 500 }).toBeDefined();
    const nat = async () => (await agent.session('server')).path?.nat;
    const mapped = { own: 'endpoint-independent', peer: 'endpoint-independent' };
    await expect.poll(nat, { timeout: 60_000, interval: 500 }).toEqual(mapped);
    const { state, path } = await agent.session('server');

    console.log(`status of a direct session: ${JSON.stringify(path)}`);
    expect(state).toBe('up');
    expect(path).toMatchObject({ path: 'direct', loss: expect.closeTo(0, 1), mtu: expect.any(Number) });
    expect(path?.remote?.split(':')[0]).toBe(lab.address('office'));
    // Twice 10 ms; the rest is a busy machine's.
    expect(path?.rttMs).toBeGreaterThanOrEqual(20);
    expect(path?.mtu).toBeGreaterThanOrEqual(1200);
  },
);
