import type { AgentReport, ComponentStatus } from '@ztna/link';
import { expect, test } from 'vitest';
import { showStatus } from './show.ts';
import { duration } from './text.ts';

const NOW = Date.parse('2026-03-01T12:00:00Z');
const MAPPED = {
  state: 'mapped',
  gateway: '192.0.2.1',
  external: '203.0.113.5:41000',
  protocol: 'pcp',
} as const;

test('a healthy agent fits into 80 columns', () => {
  const lines = showStatus(agent(), NOW);
  expect(lines[0]).toMatch(/^agent laptop {2}\(ztna forward, pid 7, up 2 h\) +ok$/);
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
  expect(lines.join('\n')).toContain('until 2026-03-02T12:00:00.000Z (in 24 h)');
  expect(lines.join('\n')).toContain('  relayed  2.1 ms  ');
});

test('a problem leads, with its remedy, and what is over is EXPIRED', () => {
  const problems = [
    { code: 'udp-blocked', message: 'no answer', remedy: 'open it', since: '2026-03-01T11:59:00.000Z' },
  ];
  const certificate = { notAfter: '2026-03-01T11:00:00Z' };
  const lines = showStatus(agent({ healthy: false, problems, certificate }), NOW);
  expect(lines.slice(0, 3)).toEqual([
    expect.stringMatching(/ udp-blocked$/),
    '  ! udp-blocked: no answer; since 2026-03-01T11:59:00.000Z',
    '    -> open it',
  ]);
  expect(lines.join('\n')).toContain('EXPIRED 2026-03-01T11:00:00.000Z (60 min ago)');
});

test.each([
  [{ nextAttempt: '2026-03-01T12:00:07Z' }, 'none is connected; the next attempt begins in 7 s'],
  [{}, 'none: the snapshot names none that may be used'],
])('no connection and no attempt, %j', (report, words) => {
  const lines = showStatus(agent({ intermediates: [], ...report }), NOW).join('\n');
  expect(lines).toContain(`  intermediate  ${words}\n`);
});

test('what another process says cannot move the cursor', () => {
  const problems = [{ code: '\x1b[2J', message: 'a\r\nb\u009b', remedy: '\x07' }];
  const text = showStatus(agent({ id: 'x\x1b]0;y\x07', problems, healthy: false }), NOW).join('\n');
  expect(text.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u);
});

test.each([
  [
    { state: 'off', detail: 'the UDP socket is bound to loopback' },
    'off: the UDP socket is bound to loopback',
  ],
  [{ state: 'idle' }, 'not asked for yet'],
  [{ state: 'waiting', detail: 'there is no default gateway' }, 'none: there is no default gateway'],
  [
    {
      state: 'waiting',
      gateway: '192.0.2.1',
      asked: [
        { protocol: 'pcp', outcome: 'not-spoken: nothing listens' },
        { protocol: 'upnp', outcome: 'no-answer: within 3 s' },
      ],
    },
    'none: 192.0.2.1 is asked: pcp not-spoken, upnp no-answer',
  ],
  [{ ...MAPPED, behindAnotherNat: false }, '203.0.113.5:41000 by pcp of 192.0.2.1\n'],
  [{ ...MAPPED, behindAnotherNat: true }, 'behind another NAT: of no use to peers'],
] as const)('of a port mapping it shows what the gateway said (%#)', (mapping, shown) => {
  const lines = showStatus(agent({ portMapping: { asked: [], ...mapping } }), NOW);
  expect(lines.join('\n')).toContain(shown);
});

test('a process of a version that knows no port mapping is shown all the same', () => {
  const { portMapping: _, ...old } = agent() as AgentReport & ComponentStatus;
  expect(showStatus(old as ComponentStatus, NOW).join('\n')).not.toContain('port mapping');
});

test.each([
  [0, '0 s'],
  [119_999, '119 s'],
  [120_000, '2 min'],
  [7_200_000, '2 h'],
  [172_800_000, '2 d'],
  [-5, '0 s'],
  [Number.NaN, '?'],
])('%d ms are %s', (ms, text) => expect(duration(ms)).toBe(text));

function agent(more: Partial<AgentReport> = {}): ComponentStatus {
  const since = '2026-03-01T11:59:00Z';
  return {
    ...{
      component: 'agent',
      pid: 7,
      command: 'ztna forward',
      software: 'ztna/0.1.0',
      configFile: '/agent.yaml',
    },
    ...{ started: '2026-03-01T10:00:00Z', id: 'spiffe://corp.example/default/agent/laptop' },
    ...{
      healthy: true,
      problems: [],
      listen: '[::]:5000',
      drops: { virtual_too_large: 3 },
      flows: 1,
      portMapping: { state: 'off', detail: 'switched off by direct.portMapping', asked: [] },
      events: {},
    },
    certificate: { notAfter: '2026-03-02T12:00:00Z' },
    snapshot: { revision: 12, expires: '2026-03-07T12:00:00Z' },
    intermediates: [
      {
        name: 'i1',
        state: 'connected',
        since,
        remote: '192.0.2.1:4433',
        rttMs: 12.5,
        observed: '203.0.113.7:5000',
      },
    ],
    listeners: [{ kind: 'forward', listen: '127.0.0.1:8080', transport: 'tcp', service: 'web', port: 80 }],
    sessions: [
      {
        ...{ session: '7a64f52b'.repeat(4), connector: 'spiffe://corp.example/default/connector/berlin/c1' },
        ...{
          state: 'up',
          path: {
            ...{ path: 'relayed', since, reason: 'probe-timed-out' },
            ...{ nat: { own: 'unknown' }, rttMs: 2.1042180000000004, mtu: 1387 },
          },
        },
      },
    ],
    ...more,
  };
}
