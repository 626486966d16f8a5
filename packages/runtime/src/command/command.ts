import type { Address } from '../address.ts';
import type { Lifecycle } from '../lifecycle.ts';
import type { Logger } from '../log.ts';
import type { LogFormat, LogLevel } from '../log-levels.ts';

interface OptionBase {
  /** One line; what it does, not what it is called. */
  readonly description: string;
  /** One letter. */
  readonly short?: string;
  /** How the value is shown in help; by default from the type. */
  readonly placeholder?: string;
  /** Without it the command is refused. */
  readonly required?: boolean;
  /** May be given several times; the value is an array. */
  readonly multiple?: boolean;
}
export interface StringOption extends OptionBase {
  readonly type: 'string';
  readonly default?: string;
  readonly choices?: readonly string[];
}
export interface IntegerOption extends OptionBase {
  readonly type: 'integer';
  readonly default?: number;
  /** Smallest and largest value allowed. */
  readonly min?: number;
  readonly max?: number;
}
/** `host:port` to connect to; with `listen`, an address to bind; with `off`, that word gives undefined. */
export interface AddressOption extends OptionBase {
  readonly type: 'address';
  readonly default?: string;
  readonly listen?: boolean;
  readonly off?: boolean;
}
export interface BooleanOption extends Omit<OptionBase, 'placeholder' | 'required' | 'multiple'> {
  readonly type: 'boolean';
}
export type Option = StringOption | IntegerOption | AddressOption | BooleanOption;
export type Options = Readonly<Record<string, Option>>;

type Scalar<O extends Option> = O extends { type: 'integer' }
  ? number
  : O extends { type: 'address' }
    ? Address
    : O extends { choices: readonly (infer C)[] }
      ? C
      : string;
/** What the command gets for an option. */
export type OptionValue<O extends Option> = O extends { type: 'boolean' }
  ? boolean
  : O extends { multiple: true }
    ? Scalar<O>[]
    : O extends { off: true }
      ? Scalar<O> | undefined
      : O extends { required: true } | { default: string | number }
        ? Scalar<O>
        : Scalar<O> | undefined;
export type OptionValues<S extends Options> = { readonly [K in keyof S]: OptionValue<S[K]> };

export interface Positional {
  /** Upper case in help: `SERVICE`. */
  readonly name: string;
  readonly description: string;
  /** Optional ones come last. */
  readonly optional?: boolean;
}

export interface Example {
  readonly command: string;
  readonly description: string;
}

/** The process as a command sees it; tests give their own. */
export interface CommandIo {
  readonly stdout: { write(text: string): unknown };
  readonly stderr: { write(text: string): unknown; readonly isTTY?: boolean };
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** Told what runs, `ztna connector`, before it does: the name that `ps` shows. */
  readonly nameProcess?: (name: string) => void;
}

export interface LogSettings {
  readonly level: LogLevel;
  readonly format: LogFormat;
}

export interface CommandContext<S extends Options = Options> {
  readonly options: OptionValues<S>;
  readonly positionals: readonly string[];
  /** `--json`: stdout carries JSON alone, stderr JSON lines. */
  readonly json: boolean;
  readonly io: CommandIo;
  /** Aborted when the process is asked to stop. */
  readonly signal: AbortSignal;
  readonly lifecycle: Lifecycle;
  /** Disposed, last in first out, when `run` has ended; bounded by the shutdown deadline. */
  readonly stack: AsyncDisposableStack;
  /** A logger to stderr. `--log-level` and `--json` win over `settings` (from the configuration file). */
  log(component: string, settings?: Partial<LogSettings>): Logger;
  /** One line to stdout. */
  print(line: string): void;
}

export interface Command<S extends Options = Options> {
  readonly name: string;
  /** One line, lower case, no full stop. */
  readonly summary: string;
  /** A paragraph or more, shown under the usage. */
  readonly description?: string;
  readonly positionals?: readonly Positional[];
  readonly options: S;
  readonly examples: readonly Example[];
  /** Exit codes beyond those that every command has. */
  readonly exitCodes?: Readonly<Record<number, string>>;
  /** Gives an exit code; nothing is 0. Throws for failures; a `Fault` explains itself. */
  run(context: CommandContext<S>): Promise<number | undefined>;
}

/** Several commands under one word. Members are loaded when called, so that starting stays fast. */
export interface CommandGroup {
  readonly name: string;
  readonly summary: string;
  readonly description?: string;
  readonly members: readonly CommandEntry[];
  readonly examples?: readonly Example[];
}
export interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  load(): Promise<AnyCommand | CommandGroup>;
}
/** A command whose options are not known to the type system. */
// biome-ignore lint/suspicious/noExplicitAny: options are contravariant in run()
export type AnyCommand = Command<any>;

/** Keeps the literal types of the options, so that `run` gets them typed. */
export function defineCommand<const S extends Options>(command: Command<S>): Command<S> {
  return command;
}

/** A group of commands that are loaded already. */
export function defineGroup(
  group: Omit<CommandGroup, 'members'> & { readonly commands: readonly AnyCommand[] },
): CommandGroup {
  const { commands, ...rest } = group;
  const members = commands.map((c) => ({ name: c.name, summary: c.summary, load: async () => c }));
  return { ...rest, members };
}

/** `--config FILE` of every component. */
export const configOption = {
  type: 'string',
  short: 'c',
  placeholder: 'FILE',
  required: true,
  description: 'configuration file, JSON or YAML',
} as const satisfies StringOption;
