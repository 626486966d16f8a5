import { parseArgs } from 'node:util';
import { type Address, parseAddress, parseListenAddress } from '../address.ts';
import { logLevels } from '../log-levels.ts';
import { nearest } from '../nearest.ts';
import type { AddressOption, AnyCommand, IntegerOption, Option, Options, Positional } from './command.ts';
import { UsageError } from './usage-error.ts';

/** Options that every command has. */
export const commonOptions = {
  json: { type: 'boolean', description: 'print JSON on stdout and JSON logs on stderr' },
  'log-level': {
    type: 'string',
    description: 'least level to log; by default what the configuration says, or info',
    placeholder: 'LEVEL',
    choices: logLevels,
  },
  help: { type: 'boolean', short: 'h', description: 'show this help' },
} as const satisfies Options;

type Value = string | number | boolean | Address | undefined;
export interface ParsedArguments {
  readonly options: Readonly<Record<string, Value | Value[]>>;
  readonly positionals: readonly string[];
}

/** Reads the command line of one command. Throws UsageError. `--help` ends the checks. */
export function parseArguments(command: AnyCommand, argv: readonly string[]): ParsedArguments {
  const specs: Options = { ...command.options, ...commonOptions };
  const { tokens } = parseArgs({
    args: [...argv],
    options: Object.fromEntries(Object.entries(specs).map(([name, o]) => [name, toNode(o)])),
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const given = new Map<string, string[]>();
  const positionals: string[] = [];
  for (const token of tokens) {
    if (token.kind === 'positional') positionals.push(token.value);
    if (token.kind !== 'option') continue;
    const { name, rawName, value } = token;
    const spec = Object.hasOwn(specs, name) ? specs[name] : undefined;
    if (!spec) throw unknownOption(rawName, specs);
    given.set(name, [...(given.get(name) ?? []), checkPresence(spec, rawName, value, token.inlineValue)]);
  }
  if (given.has('help')) return { options: { help: true }, positionals: [] };
  checkPositionals(command.positionals ?? [], positionals);
  const options = Object.entries(specs).map(([name, spec]) => [name, read(name, spec, given.get(name))]);
  return { options: Object.fromEntries(options), positionals };
}

function toNode(option: Option) {
  const type = option.type === 'boolean' ? ('boolean' as const) : ('string' as const);
  return option.short === undefined ? { type } : { type, short: option.short };
}

function unknownOption(rawName: string, specs: Options): UsageError {
  const meant = nearest(rawName.replace(/^-+/, ''), Object.keys(specs));
  return new UsageError(`unknown option ${rawName}`, meant && `did you mean --${meant}?`);
}

function checkPresence(spec: Option, rawName: string, value: string | undefined, inline?: boolean): string {
  if (spec.type === 'boolean') {
    if (value !== undefined) throw new UsageError(`${rawName} takes no value, but got '${value}'`);
    return '';
  }
  if (value === undefined) throw new UsageError(`${rawName} needs a value (${placeholderOf(spec)})`);
  if (!inline && /^-./.test(value)) {
    throw new UsageError(`${rawName} needs a value, but is followed by ${value}`, `write ${rawName}=VALUE`);
  }
  return value;
}

function checkPositionals(specs: readonly Positional[], given: readonly string[]): void {
  const missing = specs.slice(given.length).find((p) => !p.optional);
  if (missing) throw new UsageError(`${missing.name} is missing (${missing.description})`);
  const extra = given[specs.length];
  if (extra !== undefined) throw new UsageError(`unexpected argument '${extra}'`);
}

function read(name: string, spec: Option, given: readonly string[] | undefined): Value | Value[] {
  if (spec.type === 'boolean') return given !== undefined;
  if (spec.multiple) return given?.map((text) => convert(name, spec, text)) ?? [];
  const text = given?.at(-1) ?? spec.default?.toString();
  if (text === undefined) {
    if (spec.required) throw new UsageError(`--${name} ${placeholderOf(spec)} is required`, spec.description);
    return undefined;
  }
  if (given !== undefined && given.length > 1) throw new UsageError(`--${name} is given more than once`);
  return convert(name, spec, text);
}

function convert(name: string, spec: Exclude<Option, { type: 'boolean' }>, text: string): Value {
  switch (spec.type) {
    case 'string': {
      const { choices } = spec;
      if (choices && !choices.includes(text)) {
        throw new UsageError(`--${name} is '${text}', but must be one of ${choices.join(', ')}`);
      }
      return text;
    }
    case 'integer':
      return toInteger(name, spec, text);
    case 'address':
      return toAddress(name, spec, text);
  }
}

function toInteger(name: string, { min, max }: IntegerOption, text: string): number {
  const value = /^-?\d+$/.test(text) ? Number(text) : Number.NaN;
  const low = min ?? Number.MIN_SAFE_INTEGER;
  const high = max ?? Number.MAX_SAFE_INTEGER;
  if (value >= low && value <= high) return value;
  const range =
    min !== undefined && max !== undefined
      ? ` from ${min} to ${max}`
      : min !== undefined
        ? ` of at least ${min}`
        : max !== undefined
          ? ` of at most ${max}`
          : '';
  throw new UsageError(`--${name} is '${text}', but must be a whole number${range}`);
}

function toAddress(name: string, spec: AddressOption, text: string): Address | undefined {
  if (spec.off && text === 'off') return undefined;
  const address = spec.listen ? parseListenAddress(text) : parseAddress(text);
  if (address && (address.port > 0 || spec.listen)) return address;
  const like = spec.listen ? '127.0.0.1:8080 or [::]:8080' : 'example.net:443 or [::1]:443';
  throw new UsageError(
    `--${name} is '${text}', but must be an address like ${like}${spec.off ? ", or 'off'" : ''}`,
  );
}

/** What stands for the value in help. */
export function placeholderOf(spec: Option): string {
  if (spec.type === 'boolean') return '';
  if (spec.placeholder !== undefined) return spec.placeholder;
  if (spec.type === 'integer') return 'N';
  return spec.type === 'address' ? 'ADDRESS' : 'VALUE';
}
