import { expect, it } from 'vitest';
import { compile } from './compile.ts';
import { runPolicyTests } from './policy-tests.ts';
import { agent, configure, connector, contentOf, sampleInput } from './testing.ts';

it('makes one content for each component', () => {
  expect(compile(configure(sampleInput())).map(({ audience }) => audience.split('/default/')[1])).toEqual([
    'intermediate/eu-1',
    'intermediate/eu-2',
    'connector/berlin/c1',
    'connector/berlin/c2',
    'connector/paris/c1',
    'agent/laptop',
    'agent/phone',
    'agent/desk',
  ]);
});

it('an agent learns only of the services that it may reach, and no backend', () => {
  const configuration = configure(sampleInput());
  const laptop = contentOf(configuration, 'agent', agent('laptop'));
  expect(laptop.services.map((service) => service.name)).toEqual(['web']);
  expect(JSON.stringify(laptop)).not.toContain('10.0.0.1');
  expect(contentOf(configuration, 'agent', agent('desk')).services).toEqual([]);
});

it('a connector learns only of its services and the rules for them', () => {
  const configuration = configure(sampleInput());
  const paris = contentOf(configuration, 'connector', connector('paris/c1'));
  expect(paris.services.map((service) => service.name)).toEqual(['db']);
  expect(paris.rules).toEqual([]);
  const berlin = contentOf(configuration, 'connector', connector('berlin/c1'));
  expect(berlin.rules.map((rule) => rule.name)).toEqual(['staff-web']);
});

it('a policy for nobody or for nothing leaves no rule', () => {
  const input = sampleInput();
  input.policies = [
    { name: 'nobody', who: {}, services: ['web'] },
    { name: 'nothing', who: { agents: ['laptop'] } },
  ];
  for (const { content } of compile(configure(input))) {
    if (content.role === 'agent') expect(content.services).toEqual([]);
    else expect(content.rules).toEqual([]);
  }
});

it('a revoked component gets no snapshot', () => {
  const configuration = configure({ ...sampleInput(), revoked: [agent('laptop')] });
  expect(compile(configuration).map(({ audience }) => audience)).not.toContain(agent('laptop'));
});

it("runs the document's tests as the components would decide", () => {
  const results = runPolicyTests(configure(sampleInput()));
  expect(results.map(({ actual, why }) => [actual, why])).toEqual([
    ['allow', 'staff-web'],
    ['deny', 'no-rule'],
    ['deny', 'no-rule'],
  ]);
});

it('a test that does not hold shows', () => {
  const input = sampleInput();
  input.tests = [
    { who: 'desk', service: 'web', expect: 'allow' },
    { who: 'laptop', service: 'web', transport: 'tcp', port: 22, expect: 'allow' },
  ];
  expect(runPolicyTests(configure(input))).toMatchObject([
    { expected: 'allow', actual: 'deny', why: 'no-rule' },
    { expected: 'allow', actual: 'deny', why: 'unknown-port' },
  ]);
});
