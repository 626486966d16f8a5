import { expect } from 'vitest';
import { access, scenario, startUsual, usual } from '../lab/index.ts';

const networks = access('udp-blocked', 'home');

scenario('an agent whose network blocks UDP says so within 5 s', usual({ networks }), async (lab) => {
  const { agent } = await startUsual(lab, { agent: { config: { openTimeoutMs: 4_000 } } });

  const warning = await agent.process.logged(({ level }) => level === 'warn', { what: 'warning' });
  const begun = await agent.process.logged(({ msg }) => msg === 'connecting to intermediate', {
    what: 'trying',
  });
  const page = await agent.fetch('server');

  expect(warning).toMatchObject({
    code: 'udp-blocked',
    msg: expect.stringContaining('no intermediate can be reached'),
  });
  expect(Date.parse(`${warning.time}`) - Date.parse(`${begun.time}`)).toBeLessThan(5_000);
  // The agent ends the connection; curl's own limit would be 28.
  expect([0, 28]).not.toContain(page.exit);
  console.log(`UDP blocked: a connection through the agent ended after ${Math.round(page.totalMs)} ms`);
});
