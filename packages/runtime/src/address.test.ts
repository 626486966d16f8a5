import { expect, test } from 'vitest';
import { formatAddress, isLoopback, parseAddress, parseListenAddress } from './address.ts';

test.each(['127.0.0.1:80', '[::1]:0', '[::]:4433', 'localhost:1', 'a-b.example.net:65535'])(
  '%s is read and written back',
  (text) => {
    const address = parseAddress(text);
    expect(address && formatAddress(address)).toBe(text);
  },
);

test.each([
  '',
  ':80',
  '127.0.0.1',
  '::1:80',
  '[::1]',
  '[127.0.0.1]:80',
  '256.0.0.1:80',
  'a:65536',
  'a:-1',
  'a b:80',
  'a:80 ',
])('%j is no address', (text) => {
  expect(parseAddress(text)).toBeUndefined();
});

test('a name other than localhost cannot be listened on', () => {
  expect(parseListenAddress('example.net:80')).toBeUndefined();
  expect(parseListenAddress('localhost:80')).toEqual({ host: 'localhost', port: 80 });
});

test('loopback is known in its spellings', () => {
  expect(['127.0.0.1', '127.9.9.9', '::1', 'localhost'].every(isLoopback)).toBe(true);
  expect(['0.0.0.0', '::', '10.0.0.1', '127.0.0.1.example.net'].some(isLoopback)).toBe(false);
});
