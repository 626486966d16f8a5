import { expect } from 'vitest';
import { type Agent, scenario, startUsual, usual } from '../lab/index.ts';

// The session is at rest, so that only asking tells whether its direct path still answers.
scenario(
  'relay-silent-direct: an agent says that intermediates are silent, and udp-blocked once nothing comes back',
  usual(),
  async (lab) => {
    const { ztna, agent } = await startUsual(lab);
    expect(await agent.fetch('server')).toMatchObject({ status: 200 });
    await agent.becomes('server', 'direct');

    await Promise.all(['relay1', 'relay2'].map((relay) => ztna.process(relay).kill()));
    const silent = await warning(agent, 'intermediate-silent');
    const page = await agent.fetch('server');
    const before = agent.now();
    await lab.partition('home');
    const blocked = await warning(agent, 'udp-blocked', before);

    console.log(`relays die under a session at rest: ${silent.cause}; then all: ${blocked.cause}`);
    expect(page).toMatchObject({ status: 200 });
    expect(codes(agent)).toEqual(['intermediate-silent', 'udp-blocked']);
  },
);

scenario(
  'relay-silent-direct: an agent at rest whose network is gone says udp-blocked and nothing else',
  usual(),
  async (lab) => {
    const { agent } = await startUsual(lab);
    expect(await agent.fetch('server')).toMatchObject({ status: 200 });
    await agent.becomes('server', 'direct');

    await lab.partition('home');
    await warning(agent, 'udp-blocked');

    expect(codes(agent)).toEqual(['udp-blocked']);
  },
);

const warning = (agent: Agent, code: string, since = 0) =>
  agent.process.logged((entry) => entry.code === code, { what: `warning of ${code}` }, since);

const codes = ({ process }: Agent) =>
  process.logs.filter(({ level }) => level === 'warn').map(({ code }) => code);
