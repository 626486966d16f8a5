import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { makeDirectory, readWhole } from './files.ts';

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'ztna-files-'));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

test('directories are made with those above them, for the owner alone', () => {
  makeDirectory(join(home, 'a/b/c'));
  makeDirectory(join(home, 'a/b/c'));
  expect(statSync(join(home, 'a/b')).mode & 0o777).toBe(0o700);
  expect(statSync(join(home, 'a/b/c')).isDirectory()).toBe(true);
});

test('a directory that cannot be made is an error at once, and named', () => {
  writeFileSync(join(home, 'file'), '');
  expect(() => makeDirectory(join(home, 'file/a/b'))).toThrow(
    `cannot make directory ${join(home, 'file')}: file already exists`,
  );
  // Neither root nor anybody else makes directories here, and Linux says that it is missing.
  expect(() => makeDirectory('/proc/nope/a')).toThrow(/^cannot make directory \/proc(\/nope)?: /);
});

test('a file that is not there is an error that says so once, and what to do', () => {
  expect(() => readWhole(join(home, 'none'))).toThrow(
    expect.objectContaining({
      code: 'file-system',
      message: expect.stringMatching(/\/none: no such file or directory: check the path/),
      remedy: expect.stringMatching(/^check the path/),
    }),
  );
});
