import type { AnyCommand, CommandGroup, Example, Option, Options } from './command.ts';
import { exitCodeMeanings } from './exit-codes.ts';
import { commonOptions, placeholderOf } from './parse.ts';

/** Columns of a terminal that nobody has widened. */
const width = 80;

/** The help of one command, ending in a newline. `path` is how it is called: `ztna pki issue`. */
export function commandHelp(path: string, command: AnyCommand): string {
  const positionals = command.positionals ?? [];
  const required = Object.entries(command.options as Options)
    .filter(([, o]) => o.type !== 'boolean' && o.required)
    .map(([name, o]) => `--${name} ${placeholderOf(o)}`);
  const usage = [
    path,
    ...required,
    '[options]',
    ...positionals.map((p) => (p.optional ? `[${p.name}]` : p.name)),
  ].join(' ');
  return sections([
    [`${path}: ${command.summary}`, command.description ? wrap(command.description, 0) : ''],
    ['Usage', `  ${usage}`],
    ['Arguments', table(positionals.map((p) => [p.name, p.description]))],
    ['Options', optionTable(command.options)],
    ['Common options', optionTable(commonOptions)],
    ['Examples', examples(command.examples)],
    ['Exit codes', table(Object.entries({ ...exitCodeMeanings, ...command.exitCodes }))],
  ]);
}

/** The help of a group: its commands in one table. */
export function groupHelp(path: string, group: CommandGroup): string {
  return sections([
    [`${path}: ${group.summary}`, group.description ? wrap(group.description, 0) : ''],
    ['Usage', `  ${path} COMMAND [options]`],
    ['Commands', table(group.members.map((m) => [m.name, m.summary]))],
    ['Examples', examples(group.examples ?? [])],
    [`Help for one command: ${path} COMMAND --help`, ''],
  ]);
}

function sections(parts: ReadonlyArray<readonly [title: string, body: string]>): string {
  const shown = parts.filter(([title, body], i) => body !== '' || i === 0 || title.includes('--help'));
  return `${shown.map(([title, body]) => (body === '' ? title : `${title}\n${body}`)).join('\n\n')}\n`;
}

function examples(list: readonly Example[]): string {
  return list.map((e) => `  # ${e.description}\n  ${e.command}`).join('\n');
}

function optionTable(options: Options): string {
  return table(Object.entries(options).map(([name, o]) => [optionNames(name, o), optionText(o)]));
}

function optionNames(name: string, option: Option): string {
  const short = option.short === undefined ? '' : `-${option.short}, `;
  return `${short}--${name} ${placeholderOf(option)}`.trimEnd();
}

function optionText(option: Option): string {
  if (option.type === 'boolean') return option.description;
  const notes = [
    option.type === 'string' && option.choices ? `one of ${option.choices.join(', ')}` : undefined,
    option.type === 'address' && option.off ? "or 'off'" : undefined,
    option.required ? 'required' : undefined,
    option.multiple ? 'may be repeated' : undefined,
    option.default === undefined ? undefined : `default ${option.default}`,
  ].filter((note) => note !== undefined);
  return notes.length === 0 ? option.description : `${option.description} (${notes.join('; ')})`;
}

function table(rows: ReadonlyArray<readonly string[]>): string {
  const left = Math.max(0, ...rows.map(([name = '']) => name.length)) + 4;
  return rows
    .map(([name = '', text = '']) => `  ${name}`.padEnd(left) + wrap(text, left).trimStart())
    .join('\n');
}

function wrap(text: string, indent: number): string {
  const lines: string[] = [];
  for (const paragraph of text.split('\n')) {
    let line = '';
    for (const word of paragraph.split(' ')) {
      if (line !== '' && indent + line.length + 1 + word.length > width) {
        lines.push(line);
        line = word;
      } else {
        line = line === '' ? word : `${line} ${word}`;
      }
    }
    lines.push(line);
  }
  return lines.map((line) => (line === '' ? '' : ' '.repeat(indent) + line)).join('\n');
}
