// Each kind of access is what it says, so that no other scenario can be wrong about its NAT.
import { expect } from 'vitest';
import { type AccessKind, access, accessKinds, behaviourOf, openReflectors, scenario } from '../lab/index.ts';
import type { Network } from '../lab/topology.ts';

const servers = { one: { uplinks: ['internet'] }, two: { uplinks: ['internet'] } };
const passes = { udp: 'passes', translated: true, randomPorts: false, hairpin: false } as const;
const mapping = 'endpoint-independent';

const expected = {
  open: { ...passes, translated: false, mapping, filtering: 'endpoint-independent', hairpin: true },
  firewall: { ...passes, translated: false, mapping, filtering: 'address-and-port-dependent', hairpin: true },
  'full-cone': { ...passes, mapping, filtering: 'endpoint-independent' },
  'address-restricted': { ...passes, mapping, filtering: 'address-dependent' },
  'port-restricted': { ...passes, mapping, filtering: 'address-and-port-dependent' },
  symmetric: {
    ...passes,
    mapping: 'address-and-port-dependent',
    filtering: 'address-and-port-dependent',
    randomPorts: true,
  },
  cgnat: { ...passes, mapping, filtering: 'address-and-port-dependent', hairpin: true },
  'dual-stack': { ...passes, mapping, filtering: 'address-and-port-dependent' },
  'ipv6-only': {
    ...passes,
    translated: false,
    mapping,
    filtering: 'address-and-port-dependent',
    hairpin: true,
  },
  'udp-blocked': { udp: 'blocked' },
} as const satisfies Record<AccessKind, object>;

const hairpins: Record<string, Network> = {
  'hairpin-full': { translation: 'full-cone', hairpin: true },
  'hairpin-port': { translation: 'port-restricted', hairpin: true },
  'hairpin-symmetric': { translation: 'symmetric', hairpin: true },
};

const networks = Object.assign({}, hairpins, ...accessKinds.map((kind) => access(kind, kind)));
const insiders = Object.fromEntries(
  [...accessKinds, ...Object.keys(hairpins)].map((name) => [`in-${name}`, { uplinks: [name] }]),
);

scenario(
  'every kind of access maps, filters and hairpins as it says',
  { networks, hosts: { ...servers, ...insiders } },
  async (lab) => {
    const reflectors = await openReflectors(lab, ['one', 'two']);
    const over6 = await openReflectors(lab, ['one', 'two'], 'ipv6');

    for (const kind of accessKinds) {
      const behaviour = await behaviourOf(lab, `in-${kind}`, kind === 'ipv6-only' ? over6 : reflectors);
      expect.soft(behaviour, kind).toEqual(expected[kind]);
    }
    expect
      .soft(await behaviourOf(lab, 'in-dual-stack', over6), 'IPv6 of dual-stack')
      .toEqual(expected['ipv6-only']);
    for (const name of Object.keys(hairpins)) {
      const behaviour = await behaviourOf(lab, `in-${name}`, reflectors);
      expect.soft(behaviour, name).toMatchObject({ hairpin: true });
    }
  },
);

scenario(
  "a carrier's NAT is a second one, in the shared address space",
  { networks: access('cgnat', 'home'), hosts: { ...servers, laptop: { uplinks: ['home'] } } },
  async (lab) => {
    const reflectors = await openReflectors(lab, ['one', 'two']);
    const socket = await (await lab.probe('laptop')).udp();
    await socket.send(reflectors.at[0].address, 'hello');
    const [seen] = (await reflectors.at[0].socket.from('hello')).split(' ');

    expect(lab.address('laptop')).toMatch(/^192\.168\./);
    expect(lab.address('home')).toMatch(/^100\.64\./);
    expect(seen).toBe(lab.address('home-isp'));
  },
);

scenario(
  'a rebind gives every socket another outer port and closes the one before',
  { networks: access('full-cone', 'home'), hosts: { ...servers, laptop: { uplinks: ['home'] } } },
  async (lab) => {
    const reflectors = await openReflectors(lab, ['one', 'two']);
    const server = reflectors.at[0];
    const socket = await (await lab.probe('laptop')).udp();
    const seen: string[] = [];
    for (const round of ['first', 'second', 'third']) {
      await socket.send(server.address, round);
      seen.push(await server.socket.from(round));
      if (round !== 'third') await lab.rebind('home');
    }
    const [first, second, third] = seen;
    await server.socket.send(second ?? '', 'to the old mapping');
    await server.socket.send(third ?? '', 'to the new mapping');
    await socket.from('to the new mapping');

    // Each generation has a range of its own; a port that lies in it already is kept, so third may be first.
    expect(second).not.toBe(first);
    expect(third).not.toBe(second);
    expect(socket.count('to the old mapping')).toBe(0);
  },
);

scenario(
  'hosts of one network reach each other without the router, also where UDP to the outside is blocked',
  { networks: access('udp-blocked', 'home'), hosts: { a: { uplinks: ['home'] }, b: { uplinks: ['home'] } } },
  async (lab) => {
    const [a, b] = [await (await lab.probe('a')).udp(), await (await lab.probe('b')).udp({ port: 5000 })];
    await a.send(`${lab.address('b')} 5000`, 'hello');
    expect(await b.from('hello')).toBe(`${lab.address('a')} ${a.port}`);
  },
);
