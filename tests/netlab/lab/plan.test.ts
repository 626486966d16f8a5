import { expect, test } from 'vitest';
import { buildScript } from './build.ts';
import { planOf } from './plan.ts';
import { access, type Topology } from './topology.ts';

const server = { server: { uplinks: ['internet'] } };

test('hosts of a translated network have private addresses, its router a public one', () => {
  const { attachments } = planOf({
    networks: access('symmetric', 'home'),
    hosts: { laptop: { uplinks: ['home'] } },
  });

  expect(attachments.map(({ node, ipv4 }) => [node, ipv4?.address, ipv4?.gateway])).toEqual([
    ['home', '44.0.113.6', '44.0.113.5'],
    ['laptop', '192.168.1.10', '192.168.1.1'],
  ]);
});

test('a network between two NATs is in the shared address space', () => {
  const { attachments } = planOf({
    networks: access('cgnat', 'home'),
    hosts: { laptop: { uplinks: ['home'] } },
  });

  expect(attachments.find(({ node }) => node === 'home')?.ipv4?.address).toMatch(/^100\.64\./);
});

test('the same topology gives the same script', () => {
  const topology = {
    networks: access('dual-stack', 'home'),
    hosts: { ...server, laptop: { uplinks: ['home'] } },
  };

  expect(buildScript(planOf(topology))).toBe(buildScript(planOf(topology)));
});

test('a link carries bundles of packets only where it is to', () => {
  const single = (bundles: boolean) =>
    buildScript(planOf({ hosts: { laptop: { uplinks: ['internet'], link: { bundles } } } }))
      .split('\n')
      .filter((line) => line.includes('gso_max_segs 1')).length;

  expect([single(false), single(true)]).toEqual([2, 0]);
});

const many = (count: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`h${i}`, { uplinks: ['internet'] }]));

test.each<[string, Topology]>([
  ['there is no network home', { hosts: { laptop: { uplinks: ['home'] } } }],
  ['has no uplink', { hosts: { laptop: { uplinks: [] } } }],
  ['not a name', { hosts: { '$(reboot)': { uplinks: ['internet'] } } }],
  ['is taken', { hosts: { internet: { uplinks: ['internet'] } } }],
  ['is taken', { networks: access('open', 'server'), hosts: server }],
  [
    'IPv6 needs',
    { networks: { a: { translation: 'none' }, ...access('ipv6-only', 'b', { uplink: 'a' }) }, hosts: {} },
  ],
  ['more than 62', { hosts: many(63) }],
])('a topology that cannot be is refused: %s', (reason, topology) => {
  expect(() => planOf(topology)).toThrow(reason);
});
