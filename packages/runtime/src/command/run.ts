import { Lifecycle } from '../lifecycle.ts';
import { nearest } from '../nearest.ts';
import type {
  AnyCommand,
  CommandContext,
  CommandEntry,
  CommandGroup,
  CommandIo,
  LogSettings,
} from './command.ts';
import { exitCode } from './exit-codes.ts';
import { commandHelp, groupHelp } from './help.ts';
import { type ParsedArguments, parseArguments } from './parse.ts';
import { errorReport, exitCodeOf } from './report.ts';
import { UsageError } from './usage-error.ts';

/** Runs what `argv` names inside `group` and resolves to the exit code. Never rejects. */
export async function runCli(group: CommandGroup, argv: readonly string[], io: CommandIo): Promise<number> {
  const json = argv.includes('--json');
  let path = group.name;
  try {
    const found = await find(group, argv);
    path = found.path;
    if ('help' in found) {
      io.stdout.write(found.help);
      return exitCode.ok;
    }
    const parsed = parseArguments(found.command, found.rest);
    if (parsed.options.help === true) {
      io.stdout.write(commandHelp(path, found.command));
      return exitCode.ok;
    }
    io.nameProcess?.(path);
    return await execute(found.command, parsed, path, io);
  } catch (error) {
    io.stderr.write(errorReport(error, error instanceof WrongWord ? error.path : path, json));
    return exitCodeOf(error);
  }
}

/** Names the group in which a word was looked for, so that the help it points to is the right one. */
class WrongWord extends UsageError {
  readonly path: string;

  constructor(path: string, message: string, remedy: string | undefined) {
    super(message, remedy);
    this.path = path;
  }
}

type Found = { path: string; help: string } | { path: string; command: AnyCommand; rest: readonly string[] };

/** Walks down the groups. */
async function find(root: CommandGroup, argv: readonly string[]): Promise<Found> {
  const words = canonical(argv);
  let group = root;
  let path = root.name;
  for (let i = 0; ; i++) {
    const word = words[i];
    if (word === undefined || word === '--help' || word === '-h')
      return { path, help: groupHelp(path, group) };
    const entry = pick(group, word, path);
    path = `${path} ${entry.name}`;
    const member = await entry.load();
    if (!('members' in member)) return { path, command: member, rest: words.slice(i + 1) };
    group = member;
  }
}

/** `help a b` is `a b --help`, `--version` is `version`. */
function canonical([first, ...rest]: readonly string[]): readonly string[] {
  if (first === 'help') return [...rest, '--help'];
  if (first === '--version' || first === '-V') return ['version', ...rest];
  return first === undefined ? rest : [first, ...rest];
}

function pick(group: CommandGroup, word: string, path: string): CommandEntry {
  const entry = group.members.find((m) => m.name === word);
  if (entry) return entry;
  if (word.startsWith('-'))
    throw new WrongWord(path, `a command must come before ${word}`, `write ${path} COMMAND ${word}`);
  const meant = nearest(
    word,
    group.members.map((m) => m.name),
  );
  throw new WrongWord(path, `unknown command '${word}'`, meant && `did you mean ${path} ${meant}?`);
}

async function execute(
  command: AnyCommand,
  parsed: ParsedArguments,
  path: string,
  io: CommandIo,
): Promise<number> {
  const json = parsed.options.json === true;
  const { createLogger } = await import('../log.ts');
  using lifecycle = new Lifecycle({ process, exit: (code) => process.exit(code) });
  const stack = new AsyncDisposableStack();
  const context: CommandContext = {
    options: parsed.options as CommandContext['options'],
    positionals: parsed.positionals,
    json,
    io,
    signal: lifecycle.signal,
    lifecycle,
    stack,
    print: (line) => void io.stdout.write(`${line}\n`),
    log(component, settings = {}) {
      const terminal = io.stderr.isTTY === true;
      const level =
        (parsed.options['log-level'] as LogSettings['level'] | undefined) ?? settings.level ?? 'info';
      const wanted = json ? 'json' : (settings.format ?? 'auto');
      const format = wanted === 'auto' ? (terminal ? 'human' : 'json') : wanted;
      const log = createLogger({ component, level, format, colour: terminal && !io.env.NO_COLOR });
      lifecycle.log ??= log;
      return log;
    },
  };
  let code: number;
  try {
    code = (await command.run(context)) ?? exitCode.ok;
  } catch (error) {
    code = afterFailure(error, lifecycle, path, json, io);
  }
  try {
    lifecycle.startDeadline(code || exitCode.failure);
    await stack.disposeAsync();
  } catch (error) {
    io.stderr.write(errorReport(error, path, json));
    code ||= exitCode.failure;
  }
  return code;
}

/** A command that gave up because it was asked to is interrupted, not failed. */
function afterFailure(
  error: unknown,
  lifecycle: Lifecycle,
  path: string,
  json: boolean,
  io: CommandIo,
): number {
  const interrupted = lifecycle.signalExitCode;
  if (interrupted !== undefined && error instanceof Error && error.name === 'AbortError') return interrupted;
  io.stderr.write(errorReport(error, path, json));
  return exitCodeOf(error);
}
