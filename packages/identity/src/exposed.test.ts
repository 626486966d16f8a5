import { chmodSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { exposedFiles } from './exposed.ts';

let file: string;
beforeEach(() => {
  file = join(mkdtempSync(join(tmpdir(), 'ztna-exposed-')), 'key.pem');
  writeFileSync(file, '');
});
afterEach(() => rmSync(join(file, '..'), { recursive: true, force: true }));

test.each([
  [0o600, undefined],
  [0o400, undefined],
  [0o644, '0644'],
  [0o640, '0640'],
  [0o602, '0602'],
])('mode %o is told as %s', (mode, told) => {
  chmodSync(file, mode);
  expect(exposedFiles([file])).toEqual(told === undefined ? [] : [{ file, mode: told }]);
});

test('what a link leads to counts, and what is not there does not', () => {
  chmodSync(file, 0o644);
  const link = `${file}.link`;
  symlinkSync(file, link);
  expect(exposedFiles([link, `${file}.none`])).toEqual([{ file: link, mode: '0644' }]);
});
