import type { AgentService } from '@ztna/wire';
import { describe, expect, test } from 'vitest';
import { parseLocal, parseMapping, parseServiceSpec, planForwards } from './spec.ts';

const services = [
  {
    name: 'web',
    ports: [
      { transport: 'tcp', port: 80 },
      { transport: 'tcp', port: 443 },
    ],
    connectors: [],
  },
  {
    name: 'dns',
    ports: [
      { transport: 'tcp', port: 53 },
      { transport: 'udp', port: 53 },
    ],
    connectors: [],
  },
  { name: 'db', ports: [{ transport: 'tcp', port: 5432 }], connectors: [] },
] as unknown as AgentService[];
const listen = { host: '127.0.0.1', port: 0 };
const plan = (text: string, only?: 'tcp' | 'udp') =>
  planForwards({ ...parseServiceSpec(text), listen }, services, only).map((f) => `${f.transport}/${f.port}`);

describe('a service is forwarded', () => {
  test.each([
    ['db', undefined, ['tcp/5432']],
    ['dns', undefined, ['tcp/53', 'udp/53']],
    ['dns', 'udp', ['udp/53']],
    ['web:443', undefined, ['tcp/443']],
  ] as const)('%s (only %s) by %j', (text, only, expected) => {
    expect(plan(text, only)).toEqual(expected);
  });

  test.each([
    ['wbe', 'unknown-service', 'did you mean web'],
    ['nothing-like-it', 'unknown-service', 'web, dns, db'],
    ['web', 'unknown-port', 'web:PORT'],
    ['web:22', 'unknown-port', 'tcp/80, tcp/443'],
  ])('but not %s: %s', (text, code, says) => {
    expect(() => plan(text)).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(says) }),
    );
  });

  test('but not by a transport that it has not', () => {
    expect(() => plan('db', 'udp')).toThrow(/no udp port/);
  });
});

test.each(['', 'a=b', 'web:', 'web:0', 'web:70000', 'a b'])('%j is no service', (text) => {
  expect(() => parseServiceSpec(text)).toThrow();
});

test.each([
  ['8080', { port: 8080 }],
  ['[::1]:80', { host: '::1', port: 80 }],
  ['0.0.0.0:0', { host: '0.0.0.0', port: 0 }],
])('%s is a local address', (text, expected) => {
  expect(parseLocal(text)).toEqual(expected);
});

test.each(['', '99999', 'example.com:80', '127.0.0.1'])('%j is no local address', (text) => {
  expect(() => parseLocal(text)).toThrow();
});

test('a mapping has a service and a local port', () => {
  expect(parseMapping('db:5432=15432')).toEqual({ service: 'db', port: 5432, listen: { port: 15432 } });
  expect(() => parseMapping('db')).toThrow();
});
