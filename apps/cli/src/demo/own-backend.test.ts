import { expect, test } from 'vitest';
import { parseOwnBackend } from './own-backend.ts';

test.each([
  ['tcp:127.0.0.1:5432', { host: '127.0.0.1', port: 5432 }],
  ['tcp:[::1]:22', { host: '::1', port: 22 }],
  ['TCP:db.corp.example:5432', { host: 'db.corp.example', port: 5432 }],
])('%s is a service of the user', (text, address) => {
  expect(parseOwnBackend(text)).toEqual(address);
});

test.each([
  ['', 'is not tcp:HOST:PORT'],
  ['127.0.0.1:80', 'is not tcp:HOST:PORT'],
  ['localhost:80', 'is not tcp:HOST:PORT'],
  ['[::1]:80', 'is not tcp:HOST:PORT'],
  ['udp:127.0.0.1:53', 'cannot carry udp: only tcp'],
  ['http://127.0.0.1:80', 'cannot carry http: only tcp'],
  ['tcp:127.0.0.1', 'is not tcp:HOST:PORT'],
  ['tcp:127.0.0.1:', 'not tcp: with a host and a port'],
  ['tcp:127.0.0.1:0', 'not tcp: with a host and a port'],
  ['tcp:127.0.0.1:65536', 'not tcp: with a host and a port'],
  ['tcp:256.1.1.1:80', 'not tcp: with a host and a port'],
  ['tcp:a b:80', 'not tcp: with a host and a port'],
  ['tcp://host:80', 'not tcp: with a host and a port'],
])('%j is refused', (text, message) => {
  expect(() => parseOwnBackend(text)).toThrow(message);
});
