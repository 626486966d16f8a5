import { describe, expect, it } from 'vitest';
import type { PathInput } from './io.ts';
import { agent, direct, eth, policy, REMOTE, REMOTE6, ready, SETTINGS, Side } from './testing.ts';

describe('a session', () => {
  it('starts on the relay, shows its addresses, and probes as soon as both sides have some', () => {
    const side = agent();
    expect(side.take({ type: 'local', addresses: [eth('192.168.7.20')], port: 5000 })).toEqual([
      { type: 'show-candidates', addresses: ['192.168.7.20:5000'] },
    ]);
    expect(side.verdict()).toMatchObject({ path: 'relayed', reason: 'starting', remedy: '' });
    expect(side.take({ type: 'remote-candidates', addresses: [REMOTE] })).toEqual([{ type: 'probe' }]);
  });

  it('takes a direct path at its first sample when it is not slower than the relay by more than a fifth and 5 ms', () => {
    for (const [rtt, taken] of [
      [10, true],
      [53, true],
      [54, false],
      [500, false],
    ] as const) {
      const side = ready();
      side.take({ type: 'path-opened', path: 1, remote: REMOTE });
      expect(side.current).toBe(0);
      side.sample({ 0: { rtt: 40 }, 1: { rtt } });
      expect(side.current, `${rtt} ms`).toBe(taken ? 1 : 0);
      expect(side.verdict()).toMatchObject(
        taken
          ? { path: 'direct', remote: REMOTE, rttMs: rtt }
          : { path: 'relayed', reason: 'worse-than-relay' },
      );
    }
  });

  it('takes a direct path by its least RTT: the first ones hold the waits of its opening, and a path at rest has no others', () => {
    const side = ready();
    side.take({ type: 'path-opened', path: 1, remote: REMOTE });
    side.sample({ 0: { rtt: 40 }, 1: { rtt: 120, min: 60 } });
    expect(side.current).toBe(0);
    side.sample({ 0: { rtt: 40 }, 1: { rtt: 115, min: 41 } });
    expect(side.current).toBe(1);
  });

  it('asks for samples more often while a direct path is young and not in use', () => {
    const side = ready();
    side.take({ type: 'path-opened', path: 1, remote: REMOTE });
    const asked = () => side.all.filter(({ type }) => type === 'ask-samples').length;
    const before = asked();
    side.wait(1_000);
    const young = asked() - before;
    side.wait(10_000);
    expect(young).toBe(20);
    expect(asked() - before - young).toBe(10);
  });

  it('of two direct paths that are alike takes IPv6, else the faster one', () => {
    for (const [rtt6, wanted] of [
      [12, 2],
      [30, 1],
    ] as const) {
      const side = ready();
      side.take({ type: 'path-opened', path: 1, remote: REMOTE });
      side.take({ type: 'path-opened', path: 2, remote: REMOTE6 });
      side.sample({ 0: { rtt: 40 }, 1: { rtt: 10 }, 2: { rtt: rtt6 } });
      expect(side.current).toBe(wanted);
    }
  });

  it('goes to a path that is clearly better only when it has been so for 5 s', () => {
    const side = direct();
    side.take({ type: 'path-opened', path: 2, remote: REMOTE6 });
    for (let second = 0; second < 5; second++) {
      side.sample({ 0: { rtt: 40 }, 1: { rtt: 20 }, 2: { rtt: 10 } });
      expect(side.current).toBe(1);
      side.wait(999);
    }
    side.wait(10);
    expect(side.current).toBe(2);
  });

  it('leaves IPv4 for IPv6 that came later and is alike by its least RTT, once that lasted for 5 s', () => {
    for (const [least, wanted] of [
      [12, 2],
      [30, 1],
    ] as const) {
      const side = direct();
      side.take({ type: 'path-opened', path: 2, remote: REMOTE6 });
      for (let second = 0; second < 6; second++) {
        side.sample({ 0: { rtt: 40 }, 1: { rtt: 10 }, 2: { rtt: 90, min: least } });
        expect(side.current).toBe(1);
        side.wait(999);
      }
      side.sample({ 0: { rtt: 40 }, 1: { rtt: 10 }, 2: { rtt: 90, min: least } });
      expect(side.current).toBe(wanted);
    }
  });

  it('does not come back to IPv6 that was slower in use', () => {
    const side = direct();
    side.take({ type: 'path-opened', path: 2, remote: REMOTE6 });
    const seconds = (count: number, rtt6: number) => {
      for (let second = 0; second < count; second++) {
        side.sample({ 0: { rtt: 40 }, 1: { rtt: 10 }, 2: { rtt: rtt6, min: 10 } });
        side.wait(1_000);
      }
    };
    seconds(7, 10);
    expect(side.current).toBe(2);
    seconds(7, 30);
    expect(side.current).toBe(1);
    seconds(30, 12);
    expect(side.current).toBe(1);
  });

  it('does not go on the ground of one old sample', () => {
    const side = direct();
    side.take({ type: 'path-opened', path: 2, remote: REMOTE6 });
    side.sample({ 0: { rtt: 40 }, 1: { rtt: 20 }, 2: { rtt: 10 } });
    side.wait(60_000);
    expect(side.current).toBe(1);
  });

  it('stays when the other is better by less, or not all the time', () => {
    const side = direct();
    side.take({ type: 'path-opened', path: 2, remote: '203.0.113.6:4433' });
    for (let second = 0; second < 30; second++) {
      side.sample({ 0: { rtt: 40 }, 1: { rtt: 20 }, 2: { rtt: second % 4 === 3 ? 18 : 10 } });
      side.wait(1_000);
    }
    for (const [rtt, other] of [
      [14, 10],
      [100, 85],
    ] as const) {
      for (let second = 0; second < 30; second++) {
        side.sample({ 0: { rtt: 400 }, 1: { rtt }, 2: { rtt: other } });
        side.wait(1_000);
      }
    }
    expect(side.current).toBe(1);
  });

  it('goes back to the relay when that is clearly better, and not to the direct path again at once', () => {
    const side = direct();
    for (let second = 0; second < 7; second++) {
      side.sample({ 0: { rtt: 40 }, 1: { rtt: 120 } });
      side.wait(1_000);
    }
    expect(side.current).toBe(0);
    side.sample({ 0: { rtt: 40 }, 1: { rtt: 20 } });
    expect(side.current).toBe(0);
    expect(side.verdict()).toMatchObject({ path: 'relayed', reason: 'unstable' });
    side.wait(10_000);
    expect(side.current).toBe(1);
  });

  it('does not go back to the relay as long as it would take the direct path again', () => {
    const side = direct();
    for (let second = 0; second < 30; second++) {
      side.sample({ 0: { rtt: 40 }, 1: { rtt: 55 } });
      side.wait(1_000);
    }
    expect(side.current).toBe(1);
  });

  it('is on the relay as soon as the direct path dies, and probes at once', () => {
    const side = direct();
    expect(side.take({ type: 'path-dead', path: 1 })).toEqual([
      { type: 'prefer', path: 0 },
      { type: 'probe' },
    ]);
    expect(side.verdict()).toMatchObject({ path: 'relayed', reason: 'unstable' });
    expect(side.take({ type: 'path-alive', path: 1 })).toEqual([{ type: 'prefer', path: 1 }]);
  });

  it('closes a path that stayed dead for 10 s', () => {
    const side = direct();
    side.take({ type: 'path-dead', path: 1 });
    expect(side.wait(9_999)).not.toContainEqual({ type: 'close-path', path: 1 });
    expect(side.wait(1)).toContainEqual({ type: 'close-path', path: 1 });
  });

  it('holds off an address whose path died twice within a minute: 10 s, then 20, then 40', () => {
    const side = direct();
    side.flap(1);
    expect(side.current).toBe(1);
    for (const hold of [10_000, 20_000, 40_000]) {
      side.flap(1);
      expect(side.current).toBe(0);
      side.wait(hold - 1);
      expect(side.current).toBe(0);
      side.wait(1);
      expect(side.current).toBe(1);
    }
  });

  it('does not hold off an address whose path dies less than twice within a minute', () => {
    const side = direct();
    for (let i = 0; i < 4; i++) {
      side.flap(1);
      expect(side.current).toBe(1);
      side.wait(60_001);
    }
  });

  it('uses a direct path that is held off or slow when there is no relay, and goes on without either', () => {
    const side = direct();
    side.flap(1);
    side.flap(1);
    side.take({ type: 'relay-lost' });
    expect(side.current).toBe(1);
    side.take({ type: 'path-dead', path: 1 });
    expect(side.verdict()).toMatchObject({ path: 'none', reason: 'no-path' });
    side.take({ type: 'relay-back' });
    expect(side.verdict()).toMatchObject({ path: 'relayed' });
  });

  it('makes at most six switches a minute that nothing forces', () => {
    const side = direct();
    side.take({ type: 'path-opened', path: 2, remote: REMOTE6 });
    let switches = 0;
    for (let second = 0; second < 59; second++) {
      const before = side.current;
      const slow = before === 1 ? 1 : 2;
      side.sample({ 0: { rtt: 400 }, [slow]: { rtt: 100 }, [3 - slow]: { rtt: 10 } });
      side.wait(1_000);
      if (side.current !== before) switches++;
    }
    // The first, to the direct path, was one of them.
    expect(switches).toBe(5);
  });

  it('does not leave the relay more than six times a minute, for whatever paths a peer opens and closes', () => {
    const side = ready();
    let taken = 0;
    for (let path = 1; path <= 20; path++) {
      side.take({ type: 'path-opened', path, remote: `203.0.113.5:${path}` });
      side.sample({ 0: { rtt: 40 }, [path]: { rtt: 10 } });
      if (side.current === path) taken++;
      side.take({ type: 'path-closed', path });
      side.wait(1_000);
    }
    expect(taken).toBe(6);
  });

  it('closes direct paths beyond four, never the one in use', () => {
    const side = direct();
    for (let path = 2; path <= 6; path++)
      side.take({ type: 'path-opened', path, remote: `203.0.113.5:${path}` });
    expect(side.core.stats().directPaths).toBe(4);
    expect(side.closed).not.toContain(1);
  });

  it('after a change of network probes at once, and forgets whom it held off', () => {
    const side = direct();
    side.flap(1);
    side.flap(1);
    expect(side.current).toBe(0);
    const outputs = side.take({ type: 'network-changed' });
    expect(outputs).toContainEqual({ type: 'prefer', path: 1 });
    expect(outputs).toContainEqual({ type: 'probe' });
  });

  it('after a change of network has all its rounds of probes again', () => {
    const side = ready();
    const probes = (input: PathInput) => side.take(input).filter(({ type }) => type === 'probe').length;
    const shown = (port: number) => probes({ type: 'mapped', address: `198.51.100.1:${port}` });
    for (let port = 1; port < 10; port++) shown(port);
    expect(shown(10)).toBe(0);
    expect(probes({ type: 'network-changed' })).toBe(1);
    for (let port = 11; port < 15; port++) expect(shown(port)).toBe(1);
    // A network that comes and goes gives no more.
    expect(probes({ type: 'network-changed' })).toBe(0);
    side.wait(30_000);
    side.take({ type: 'network-changed' });
    for (let port = 20; port < 24; port++) expect(shown(port)).toBe(1);
  });

  it('does not probe by itself while a direct path is in use', () => {
    const side = direct();
    expect(side.wait(1_000_000).filter(({ type }) => type === 'probe')).toEqual([]);
  });

  it('probes again when either side shows other addresses', () => {
    const side = ready();
    expect(side.take({ type: 'remote-candidates', addresses: [REMOTE6] })).toContainEqual({ type: 'probe' });
    expect(side.take({ type: 'remote-candidates', addresses: [REMOTE6] })).toEqual([]);
    expect(side.take({ type: 'mapped', address: '198.51.100.1:7000' })).toContainEqual({ type: 'probe' });
  });

  it('closes a path to an address that may not be used', () => {
    const side = ready();
    for (const [i, remote] of ['127.0.0.1:1', '100.64.0.1:1', '[::ffff:127.0.0.1]:1', 'x'].entries()) {
      expect(side.take({ type: 'path-opened', path: i + 1, remote })).toContainEqual({
        type: 'close-path',
        path: i + 1,
      });
    }
  });
});

describe('a policy', () => {
  it('that denies shows and probes nothing, and closes what opens', () => {
    const side = agent('deny');
    side.start();
    side.take({ type: 'network-changed' });
    expect(side.take({ type: 'path-opened', path: 1, remote: REMOTE })).toEqual([
      { type: 'close-path', path: 1 },
    ]);
    side.wait(1_000_000);
    expect(side.all.filter(({ type }) => type === 'probe' || type === 'show-candidates')).toEqual([]);
    expect(side.verdict()).toMatchObject({ path: 'relayed', reason: 'policy' });
    expect(side.core.mayCarryFlows()).toBe(true);
    expect(side.core.mayCarryFlows('require')).toBe(false);
  });

  it('that comes to deny takes back addresses and leaves the direct path; that allows again begins anew', () => {
    const side = direct();
    expect(side.take(policy('deny'))).toEqual([
      { type: 'show-candidates', addresses: [] },
      { type: 'prefer', path: 0 },
      { type: 'close-path', path: 1 },
    ]);
    expect(side.take(policy('allow')).map(({ type }) => type)).toEqual(['show-candidates', 'probe']);
  });

  it('that requires holds flows until a direct path is there, and says so after 10 s', () => {
    const side = agent('require');
    expect(side.start()).toContainEqual({ type: 'flows', may: false });
    expect(side.verdict()).toMatchObject({ path: 'waiting', reason: 'starting' });
    side.wait(9_999);
    expect(side.verdict().path).toBe('waiting');
    side.wait(1);
    expect(side.verdict()).toMatchObject({ path: 'none', reason: 'probe-timed-out' });
    expect([side.core.mayCarryFlows(), side.core.mayCarryFlows('allow')]).toEqual([false, false]);
    const outputs = side.take({ type: 'path-opened', path: 1, remote: REMOTE });
    expect(outputs).toContainEqual({ type: 'prefer', path: 1 });
    expect(outputs).toContainEqual({ type: 'flows', may: true });
    expect(side.take({ type: 'path-dead', path: 1 })).toContainEqual({ type: 'flows', may: false });
    expect(side.verdict().path).toBe('waiting');
  });

  it('that requires takes a slow direct path, and keeps it beside a fast relay', () => {
    const side = agent('require');
    side.start();
    side.take({ type: 'path-opened', path: 1, remote: REMOTE });
    for (let second = 0; second < 30; second++) {
      side.sample({ 0: { rtt: 10 }, 1: { rtt: 900, sent: second * 1000, lost: second * 500 } });
      side.wait(1_000);
    }
    expect(side.current).toBe(1);
  });

  it('of one service that requires holds that one back, not those that do not', () => {
    const side = ready();
    expect([side.core.mayCarryFlows(), side.core.mayCarryFlows('allow')]).toEqual([true, true]);
    expect(side.core.mayCarryFlows('require')).toBe(false);
    const open = direct();
    expect(open.core.mayCarryFlows('require')).toBe(true);
  });

  it('switched off in the configuration does nothing, and flows that require get none', () => {
    const settings = { ...SETTINGS, enabled: false };
    const side = new Side('agent', 'allow', settings);
    side.start();
    expect(side.all.filter(({ type }) => type === 'probe' || type === 'show-candidates')).toEqual([]);
    expect(side.verdict()).toMatchObject({ path: 'relayed', reason: 'disabled' });
    const required = new Side('agent', 'require', settings);
    required.start();
    expect(required.verdict()).toMatchObject({ path: 'none', reason: 'disabled' });
  });
});

describe('a connector', () => {
  it('never probes, shows private addresses only when its site opted in, and takes them back', () => {
    const side = new Side('connector', 'allow');
    const local = { type: 'local', addresses: [eth('10.1.0.5')], port: 4433 } as const;
    expect(side.take(local)).toEqual([]);
    expect(side.take({ type: 'policy', direct: 'allow', showPrivateAddresses: true })).toEqual([
      { type: 'show-candidates', addresses: ['10.1.0.5:4433'] },
    ]);
    side.take({ type: 'path-opened', path: 1, remote: '10.1.0.9:5000' });
    expect(side.take({ type: 'policy', direct: 'allow', showPrivateAddresses: false })).toEqual([
      { type: 'close-path', path: 1 },
      { type: 'show-candidates', addresses: [] },
    ]);
    side.take({ type: 'remote-candidates', addresses: [REMOTE] });
    side.wait(1_000_000);
    expect(side.all.filter(({ type }) => type === 'probe')).toEqual([]);
  });

  it("follows the agent's order, and is on the relay when that path dies or is a backup again", () => {
    const side = new Side('connector', 'allow');
    side.start();
    side.take({ type: 'path-opened', path: 1, remote: '198.51.100.20:5000' });
    side.sample({ 0: { rtt: 40 }, 1: { rtt: 1 } });
    expect(side.current).toBe(0);
    side.take({ type: 'path-status', path: 1, backup: false });
    expect(side.current).toBe(1);
    side.take({ type: 'path-dead', path: 1 });
    expect(side.current).toBe(0);
    side.take({ type: 'path-alive', path: 1 });
    expect(side.current).toBe(1);
    side.take({ type: 'path-status', path: 1, backup: true });
    expect(side.current).toBe(0);
  });

  it('tells few verdicts of an agent that goes to and fro, and the last one in the end', () => {
    const side = new Side('connector', 'allow');
    side.start();
    side.take({ type: 'path-opened', path: 1, remote: REMOTE });
    for (let i = 0; i < 601; i++) {
      side.take({ type: 'path-status', path: 1, backup: i % 2 === 1 });
      side.wait(100);
    }
    expect(side.current).toBe(1);
    expect(side.verdicts).toBeLessThanOrEqual(26);
    const before = side.verdicts;
    side.wait(120_000);
    const told = side.all.findLast((output) => output.type === 'verdict-changed');
    expect(told).toMatchObject({ verdict: { path: 'direct' } });
    expect(side.verdicts - before).toBeLessThanOrEqual(1);
  });

  it('follows the last order when two paths are ordered', () => {
    const side = new Side('connector', 'allow');
    side.start();
    for (const path of [1, 2]) side.take({ type: 'path-opened', path, remote: `198.51.100.20:${path}` });
    for (const path of [2, 1, 2]) {
      side.take({ type: 'path-status', path, backup: false });
      expect(side.current).toBe(path);
    }
  });

  it('whose own snapshot denies closes what the agent opens', () => {
    const side = new Side('connector', 'deny');
    expect(side.take({ type: 'path-opened', path: 1, remote: REMOTE })).toEqual([
      { type: 'close-path', path: 1 },
    ]);
  });
});
