import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { echoed, startWorld, type WorldOptions } from './support/world.ts';

/** Probes, samples and 3 s between two PathHellos; the machine may be busy. */
const SOON = { timeout: 20_000 };

let cleanup: AsyncDisposableStack;
beforeEach(() => {
  cleanup = new AsyncDisposableStack();
});
afterEach(() => cleanup.disposeAsync());

const start = (options?: WorldOptions) => startWorld(cleanup, options);

describe('a session between processes that reach each other', () => {
  it('becomes direct, and goes on when the intermediate is stopped', async () => {
    const s = await start();
    const flow = await s.open();
    await expect.poll(s.path, SOON).toMatchObject({ path: 'direct', remote: s.connector.listen });
    expect(await echoed(flow, 'while it runs')).toBe('while it runs');

    await s.relay[Symbol.asyncDispose]();

    expect(await echoed(flow, 'without it')).toBe('without it');
    expect(await echoed(await s.open(), 'another flow')).toBe('another flow');
    expect(await s.path()).toMatchObject({ path: 'direct' });
    const told = s.agentLog.lines.filter(({ event }) => event === 'path.verdict');
    expect(told.map(({ path }) => path)).toContain('direct');
    expect(JSON.stringify(told), 'no addresses of peers in the log').not.toContain(s.connector.listen);
  }, 60_000);

  it('goes back to the relay when a new snapshot denies it, and the flow does not notice', async () => {
    const s = await start();
    const flow = await s.open();
    await expect.poll(s.path, SOON).toMatchObject({ path: 'direct' });

    await s.publish({ direct: 'deny' });

    await expect.poll(s.path, SOON).toMatchObject({ path: 'relayed', reason: 'policy' });
    const { datagrams } = (await s.relay.status()).relayed;
    expect(await echoed(flow, 'relayed')).toBe('relayed');
    expect((await s.relay.status()).relayed.datagrams).toBeGreaterThan(datagrams);
  }, 60_000);

  it('carries flows that require a direct path, and cuts them when that is gone', async () => {
    const s = await start({ direct: 'require' });
    const flow = await s.open();
    expect(await echoed(flow, 'direct')).toBe('direct');
    expect(await s.path()).toMatchObject({ path: 'direct' });

    s.agent.endpoint.setDirectFilter({ refuse: ['127.0.0.0/8'] });

    await expect.poll(s.path, SOON).toMatchObject({ path: 'waiting' });
    await expect.poll(() => s.records).toMatchObject([{ service: 'echo', reason: 'not-authorized' }]);
    await expect(flow.stream.write(Buffer.from('over the relay'))).rejects.toThrow();
    await expect(s.open()).rejects.toThrow('requires a direct path');
  }, 60_000);
});

describe('the NAT before an agent', () => {
  it('is known from two intermediates, of which it is connected to one', async () => {
    const s = await start({ spare: true });
    await s.open();
    await expect.poll(s.path, SOON).toMatchObject({ nat: { own: 'none' } });
    const seen = s.agentLog.lines.filter(({ msg }) => msg === 'asked a second observer');
    expect(seen).toMatchObject([{ intermediate: expect.any(String), answered: true }]);
    const other = seen[0]?.intermediate === 'spare' ? s.spare : s.relay;
    // It was nobody's guest for long, and nobody has to look at it.
    await expect.poll(() => other?.stats().peers).toBe(1);
    expect([...s.spareLog.warnings(), ...s.relayLog.warnings()]).toEqual([]);
    expect((await s.agent.status()).intermediates).toHaveLength(1);
  }, 60_000);
});

describe('the port mapping', () => {
  it('is not asked for by sockets on loopback, and the status says so', async () => {
    const s = await start();
    await s.open();
    const off = { state: 'off', detail: 'the UDP socket is bound to loopback', asked: [] };
    expect((await s.agent.status()).portMapping).toEqual(off);
    expect((await s.connector.status()).portMapping).toEqual(off);
  }, 60_000);
});
