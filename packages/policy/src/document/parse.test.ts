import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { sampleInput } from '../testing.ts';
import { checkConfiguration, parseConfiguration } from './parse.ts';

it('reads YAML and JSON to the same configuration', () => {
  const yaml = parseConfiguration(stringify(sampleInput()));
  const json = parseConfiguration(JSON.stringify(sampleInput()));
  expect(yaml.ok).toBe(true);
  expect(yaml).toEqual(json);
});

it('fills in defaults', () => {
  const parsed = parseConfiguration('trustDomain: corp.example\nrevision: 1\n');
  expect(parsed).toMatchObject({
    ok: true,
    value: { tenant: 'default', epoch: 1, validityMs: 7 * 86_400_000, policies: [], revoked: [] },
  });
});

it('an issue names line, column and field', () => {
  const text = 'trustDomain: corp.example\nrevision: 1\nservices:\n  - name: web\n    port: 80\n';
  expect(parseConfiguration(text)).toEqual({
    ok: false,
    error: [{ path: ['services', 0, 'port'], message: 'unknown field', line: 5, column: 11 }],
  });
});

it('broken YAML and repeated keys are issues with a line', () => {
  expect(parseConfiguration('a: [1,\nb: }')).toMatchObject({
    ok: false,
    error: [{ line: 2, message: expect.stringContaining('neither JSON nor YAML') }],
  });
  expect(parseConfiguration('revision: 1\nrevision: 2\n')).toMatchObject({ ok: false, error: [{ line: 2 }] });
});

describe('a wrong document is refused with the field', () => {
  type Change = (input: Record<string, unknown> & ReturnType<typeof sampleInput>) => void;
  const cases: [string, string, Change][] = [
    ['an unknown field', 'colour', (d) => void Object.assign(d, { colour: 'red' })],
    ['a missing revision', '', (d) => void Reflect.deleteProperty(d, 'revision')],
    [
      'revision 0',
      'revision',
      (d) => {
        d.revision = 0;
      },
    ],
    [
      'a foreign spelling of the domain',
      'trustDomain',
      (d) => {
        d.trustDomain = 'Corp.Example';
      },
    ],
    [
      'a dot segment as name',
      'agents.0.name',
      (d) => {
        d.agents = [{ name: '..', subject: 'a' }];
      },
    ],
    [
      'an agent without subject',
      'agents.0',
      (d) => {
        d.agents = [{ name: 'a' } as never];
      },
    ],
    [
      'a name that appears twice',
      'sites.1.name',
      (d) => {
        d.sites = [{ name: 'x' }, { name: 'x' }];
      },
    ],
    [
      'an unknown service',
      'policies.0.services.0',
      (d) => {
        d.policies = [{ name: 'p', who: {}, services: ['wbe'] }];
      },
    ],
    [
      'an unknown group',
      'policies.0.who.groups.0',
      (d) => {
        d.policies = [{ name: 'p', who: { groups: ['x'] } }];
      },
    ],
    [
      'an unknown agent',
      'policies.0.who.agents.0',
      (d) => {
        d.policies = [{ name: 'p', who: { agents: ['x'] } }];
      },
    ],
    [
      'an unknown subject',
      'groups.0.subjects.0',
      (d) => {
        d.groups = [{ name: 'staff', subjects: ['x'] }];
      },
    ],
    [
      'an unknown connector',
      'services.0.connectors.0',
      (d) => {
        d.services = [{ name: 'web', connectors: ['berlin/c9'] }];
      },
    ],
    [
      'a port above 65535',
      'intermediates.0.addresses.0',
      (d) => {
        d.intermediates = [{ name: 'i', addresses: ['h:70000'] }];
      },
    ],
    [
      'a transport of another kind',
      'services.0.ports.0.transport',
      (d) => {
        d.services = [{ name: 'web', ports: [{ transport: 'sctp' as never, port: 1, backend: 'h:1' }] }];
      },
    ],
    [
      'no validity',
      'validity',
      (d) => {
        d.validity = '0d';
      },
    ],
    [
      'a revocation of another kind',
      'revoked.0',
      (d) => {
        d.revoked = ['laptop'];
      },
    ],
    [
      'a revocation in another domain',
      'revoked.0',
      (d) => {
        d.revoked = ['spiffe://other.example/default/agent/a'];
      },
    ],
    [
      'a test of an unknown agent',
      'tests.0.who',
      (d) => {
        d.tests = [{ who: 'x', service: 'web', expect: 'deny' }];
      },
    ],
  ];
  for (const [what, path, change] of cases) {
    it(what, () => {
      const input = sampleInput() as Parameters<Change>[0];
      input.tests = [];
      change(input);
      const checked = checkConfiguration(input);
      const paths = checked.ok ? [] : checked.error.map((issue) => issue.path.join('.'));
      expect(paths).toContain(path);
    });
  }
});

it('any text is a configuration or issues', () => {
  fc.assert(fc.property(fc.string(), (text) => void parseConfiguration(text)));
  fc.assert(fc.property(fc.jsonValue(), (value) => void checkConfiguration(value)));
});

it('an alias bomb is refused', () => {
  const bomb = ['a: &a [x,x,x,x,x,x,x,x,x,x]'];
  for (let i = 0; i < 6; i++) {
    const [from, to] = ['abcdefg'[i], 'abcdefg'[i + 1]];
    bomb.push(`${to}: &${to} [${Array(10).fill(`*${from}`).join(',')}]`);
  }
  expect(parseConfiguration(bomb.join('\n')).ok).toBe(false);
});
