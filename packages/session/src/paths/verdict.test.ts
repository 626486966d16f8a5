import { describe, expect, it } from 'vitest';
import { agent, direct, eth, REMOTE, SETTINGS, Side } from './testing.ts';

describe('the verdict on a session that stays relayed', () => {
  const one = { i1: '198.51.100.20:5000' };
  const same = { ...one, i2: '198.51.100.20:5000' };
  const other = { ...one, i2: '198.51.100.20:5001' };
  const hello = (nat: 'unknown' | 'none' | 'endpoint-independent' | 'destination-dependent') =>
    ({ type: 'peer-hello', nat, directAllowed: true, candidates: 1 }) as const;

  it.each([
    ['symmetric-nat-both-sides', other, hello('destination-dependent'), /One open UDP port helps/],
    ['probe-timed-out', other, hello('endpoint-independent'), /one open UDP port at the connector/],
    ['probe-timed-out', same, hello('destination-dependent'), /NAT of the connector gives every destination/],
    ['probe-timed-out', one, hello('unknown'), /NAT or a firewall/],
    ['udp-blocked', same, hello('none'), /open that UDP port for incoming packets in its firewall/],
    [
      'udp-blocked',
      { i1: '192.0.2.20:5000' },
      hello('endpoint-independent'),
      /The agent has a public address/,
    ],
    [
      'peer-policy',
      same,
      { ...hello('none'), directAllowed: false },
      /The other side may not use direct paths/,
    ],
  ] as const)('is %s with %j and %j', (reason, seen, peer, remedy) => {
    const side = agent();
    side.start();
    for (const [by, address] of Object.entries(seen)) side.take({ type: 'observed', by, address });
    side.take(peer);
    side.wait(60_000);
    expect(side.verdict()).toMatchObject({ path: 'relayed', reason, nat: { peer: peer.nat } });
    expect(side.verdict().remedy).toMatch(remedy);
  });

  it('tells no addresses of one side from none of the other', () => {
    const nothing = agent();
    nothing.take({ type: 'remote-candidates', addresses: [REMOTE] });
    nothing.wait(6_000);
    expect(nothing.verdict()).toMatchObject({ reason: 'no-candidates' });
    const alone = agent();
    alone.take({ type: 'local', addresses: [eth('192.168.7.20')], port: 5000 });
    alone.wait(6_000);
    expect(alone.verdict()).toMatchObject({ reason: 'no-peer-candidates' });
  });

  it('names the agent at a connector that has a direct path and is not told to use it', () => {
    const side = new Side('connector', 'allow', SETTINGS);
    side.take({ type: 'local', addresses: [eth('203.0.113.5')], port: 4433 });
    side.take({ type: 'path-opened', path: 1, remote: '192.0.2.20:5000' });
    side.sample({ 0: { rtt: 40 }, 1: { rtt: 10 } });
    expect(side.verdict()).toMatchObject({ path: 'relayed', reason: 'starting' });
    side.wait(6_000);
    expect(side.verdict()).toMatchObject({ path: 'relayed', reason: 'agent-decides' });
    expect(side.verdict().remedy).toMatch(/the agent, which decides.*`ztna status` on its machine/);
    side.take({ type: 'path-status', path: 1, backup: false });
    expect(side.verdict()).toMatchObject({ path: 'direct' });
  });

  it('is told when it changes, not for every figure', () => {
    const side = direct();
    const before = side.verdicts;
    for (let i = 0; i < 20; i++) side.sample({ 0: { rtt: 40 }, 1: { rtt: 10 + i / 10 } });
    expect(side.verdicts).toBe(before);
    expect(side.verdict().rttMs).toBe(11.9);
    side.take({ type: 'path-closed', path: 1 });
    expect(side.verdicts).toBe(before + 1);
  });

  it('is told to the peer as far as it concerns it, at most each 3 s', () => {
    const side = agent();
    side.start();
    expect(side.hellos).toHaveLength(1);
    side.take({ type: 'observed', by: 'i1', address: '198.51.100.20:5000' });
    side.take({ type: 'observed', by: 'i2', address: '198.51.100.20:5001' });
    expect(side.hellos).toHaveLength(1);
    side.wait(3_000);
    expect(side.hellos.slice(1)).toEqual([
      { type: 'hello', nat: 'destination-dependent', directAllowed: true, candidates: 3 },
    ]);
  });
});
