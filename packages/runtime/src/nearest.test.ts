import { expect, test } from 'vitest';
import { nearest } from './nearest.ts';

test.each([
  ['listn', ['listen', 'log'], 'listen'],
  ['bakcend', ['backend', 'bench'], 'backend'],
  ['privateKey', ['certificateFile', 'privateKeyFile'], 'privateKeyFile'],
  ['LOG', ['listen', 'log'], 'log'],
  ['http', ['help', 'listen-http'], 'listen-http'],
  ['entirely', ['listen', 'log'], undefined],
  ['foo', ['listen', 'log'], undefined],
  ['x'.repeat(10_000), ['listen'], undefined],
])('nearest to %.20s', (word, candidates, expected) => {
  expect(nearest(word, candidates)).toBe(expected);
});
