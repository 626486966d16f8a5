import { expect } from 'vitest';
import { scenario, startUsual, usual } from '../lab/index.ts';

scenario(
  'policy-moves: a running session follows what the policy says of direct paths',
  usual(),
  async (lab) => {
    const { ztna, agent } = await startUsual(lab);
    const tcp = await agent.echo('server', 'tcp');
    await agent.becomes('server', 'direct');

    for (const [direct, path] of [
      ['deny', 'relayed'],
      ['allow', 'direct'],
    ] as const) {
      const since = agent.process.logs.length;
      ztna.setDirect(direct);
      await agent.becomes('server', path, since);
      await tcp.alive();
    }

    expect((await tcp.stats()).ended).toBeUndefined();
    expect(ztna.process('server').logs.filter(({ level }) => level === 'fatal')).toEqual([]);
  },
);
