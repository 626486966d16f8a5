import type { DirectPaths, ServiceName } from '@ztna/wire';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compile } from './compile.ts';
import { directAtAgent, directAtConnector, directOfSession, strictest } from './direct.ts';
import { checkConfiguration } from './document/parse.ts';
import { mayOpenFlow } from './evaluate.ts';
import { agent, configure, connector, contentOf, sampleInput, service, who } from './testing.ts';

const CHOICES = ['allow', 'require', 'deny'] as const;
const choice = fc.constantFrom(...CHOICES);
const alice = who('laptop', 'alice');
const web = service('web');

it('the strictest wins: deny, then require, then allow', () => {
  const orders: [DirectPaths[], DirectPaths][] = [
    [[], 'allow'],
    [['allow', 'allow'], 'allow'],
    [['allow', 'require'], 'require'],
    [['require', 'deny'], 'deny'],
    [['deny', 'allow', 'require'], 'deny'],
  ];
  for (const [all, wanted] of orders) expect(strictest(all)).toBe(wanted);
});

it('without a word about it direct paths are allowed, and private addresses are not shown', () => {
  const configuration = configure(sampleInput());
  expect(directAtAgent(contentOf(configuration, 'agent', agent('laptop')), web)).toBe('allow');
  const berlin = contentOf(configuration, 'connector', connector('berlin/c1'));
  expect(directAtConnector(berlin, alice, web)).toBe('allow');
  expect(berlin.showPrivateAddresses).toBe(false);
});

it('a site that opts in shows private addresses at its connectors alone', () => {
  const input = sampleInput();
  input.sites = [
    { name: 'berlin', connectors: ['c1', 'c2'], showPrivateAddresses: true },
    { name: 'paris', connectors: ['c1'] },
  ];
  const shown = compile(configure(input)).flatMap(({ content }) =>
    content.role === 'connector' ? [content.showPrivateAddresses] : [],
  );
  expect(shown).toEqual([true, true, false]);
});

it('agent and connector come to the same, whichever rules and service say it', () => {
  fc.assert(
    fc.property(choice, choice, choice, (ofService, first, second) => {
      const configuration = configure(withDirect(ofService, [first, second]));
      const wanted = strictest([ofService, first, second]);
      const berlin = contentOf(configuration, 'connector', connector('berlin/c1'));
      expect(directAtAgent(contentOf(configuration, 'agent', agent('laptop')), web)).toBe(wanted);
      expect(directAtConnector(berlin, alice, web)).toBe(wanted);
      // The phone is under the first policy alone.
      const phone = strictest([ofService, first]);
      expect(directAtAgent(contentOf(configuration, 'agent', agent('phone')), web)).toBe(phone);
      expect(directAtConnector(berlin, who('phone', 'alice'), web)).toBe(phone);
    }),
  );
});

it('a rule more never loosens what holds for direct paths', () => {
  fc.assert(
    fc.property(choice, fc.array(choice, { maxLength: 4 }), choice, (ofService, rules, more) => {
      const before = CHOICES.indexOf(strictest([ofService, ...rules]));
      expect(CHOICES.indexOf(strictest([ofService, ...rules, more]))).toBeGreaterThanOrEqual(before);
    }),
  );
});

it('what may not be reached is denied direct paths too', () => {
  const configuration = configure(sampleInput());
  const berlin = contentOf(configuration, 'connector', connector('berlin/c1'));
  expect(directAtAgent(contentOf(configuration, 'agent', agent('laptop')), service('db'))).toBe('deny');
  expect(directAtConnector(berlin, who('desk', 'bob'), web)).toBe('deny');
  expect(directAtConnector({ ...berlin, services: [] }, alice, web)).toBe('deny');
  expect(directAtConnector({ ...berlin, revoked: [alice.agent] }, alice, web)).toBe('deny');
});

it('an intermediate is told nothing about direct paths', () => {
  for (const { content } of compile(configure(withDirect('deny', ['deny', 'require'])))) {
    if (content.role === 'intermediate')
      expect(content.rules.map(({ direct }) => direct)).toEqual(['allow', 'allow']);
  }
});

describe('a session', () => {
  const berlin = contentOf(
    configure(withDirect('allow', ['require', 'allow'])),
    'connector',
    connector('berlin/c1'),
  );
  const of = (services: readonly ServiceName[], requester = alice) =>
    directOfSession(
      services,
      (name) => mayOpenFlow(berlin, requester, name, 'tcp', 80).allowed,
      (name) => directAtConnector(berlin, requester, name),
    );

  it('is under the strictest of the services that it may reach', () => {
    expect(of([web])).toBe('require');
    expect(of([web, service('db')])).toBe('require');
    const all = (name: ServiceName): DirectPaths => (name === web ? 'require' : 'deny');
    expect(directOfSession([web, service('db')], () => true, all)).toBe('deny');
  });

  it('without any that it may reach, is denied', () => {
    expect(of([])).toBe('deny');
    expect(of([web], who('desk', 'bob'))).toBe('deny');
  });
});

it('another word than allow, deny, require is refused with its field', () => {
  const input = { ...sampleInput(), policies: [{ name: 'p', who: {}, direct: 'prefer' }] };
  const checked = checkConfiguration(input);
  expect(checked.ok ? [] : checked.error.map(({ path }) => path.join('.'))).toContain('policies.0.direct');
});

/** Two policies reach web: the first for alice's laptop and phone, the second for her laptop. */
function withDirect(ofService: DirectPaths, [first, second]: [DirectPaths, DirectPaths]) {
  const input = sampleInput();
  const [served, ...others] = input.services ?? [];
  if (served) input.services = [{ ...served, direct: ofService }, ...others];
  input.policies = [
    { name: 'staff-web', who: { subjects: ['alice'] }, services: ['web'], direct: first },
    { name: 'laptops', who: { agents: ['laptop'] }, services: ['web'], direct: second },
  ];
  return input;
}
