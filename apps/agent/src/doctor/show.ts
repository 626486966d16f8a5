import type { Check } from './check.ts';

const WIDTH = 80;
const NAME = 18;
const MARKS = { ok: 'ok  ', warn: 'WARN', fail: 'FAIL', skip: '-   ' } as const;

/** One check for people, in lines of 80 characters where its words allow. */
export function showCheck({ check, status, code, message, remedy }: Check): string[] {
  const indent = ' '.repeat(MARKS.ok.length + 1 + NAME);
  const said = status === 'warn' || status === 'fail' ? `${code}: ${message}` : message;
  return [
    ...said.split('\n').flatMap((line, index) => {
      const first = index === 0 ? `${MARKS[status]} ${check.padEnd(NAME)}` : indent;
      return wrapped(plain(line), first, indent);
    }),
    ...(remedy === undefined ? [] : wrapped(plain(remedy), `${indent}-> `, `${indent}   `)),
  ];
}

/** Without control characters: names in files and answers of others must not move the cursor. */
function plain(text: string): string {
  return text.replace(/\p{C}/gu, '?').slice(0, 2_000);
}

function wrapped(text: string, first: string, next: string): string[] {
  const lines: string[] = [];
  let line = first;
  let isEmpty = true;
  for (const word of text.trim().split(' ')) {
    if (!isEmpty && line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = next;
      isEmpty = true;
    }
    line += isEmpty ? word : ` ${word}`;
    isEmpty = false;
  }
  return [...lines, line].map((text) => text.trimEnd());
}
