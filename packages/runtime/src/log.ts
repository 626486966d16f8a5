import { destination, type LoggerOptions, pino, stdSerializers, stdTimeFunctions } from 'pino';
import { isFault } from './faults.ts';
import { humanLine } from './log-human.ts';
import type { LogFormat, LogLevel } from './log-levels.ts';

export type { LogFormat, LogLevel } from './log-levels.ts';
export { logFormats, logLevels } from './log-levels.ts';

/** What happened, by a stable name of words joined by `.` and `-`, and its values. */
export interface LogFields {
  readonly event: string;
  readonly [field: string]: unknown;
}

/** `log.info({ event: 'session.opened', session }, 'session opened')`: a sentence without values in it. */
export type Logger = Readonly<
  Record<Exclude<LogLevel, 'silent'>, (fields: LogFields, sentence: string) => void>
>;

/** Where lines go: stderr, or what a test gives. */
export interface LogSink {
  write(line: string): unknown;
}

export interface LoggerSettings {
  /** Which part of the system speaks; on every line. */
  readonly component: string;
  readonly level: LogLevel;
  readonly format: Exclude<LogFormat, 'auto'>;
  /** Colour in human format. */
  readonly colour?: boolean;
  /** By default file descriptor 2, written synchronously, so that nothing is lost at exit. */
  readonly sink?: LogSink;
}

/** Fields that are never printed, at the top level of an entry and one level below. */
const secretFields = [
  'authorization',
  'cookie',
  'grant',
  'key',
  'password',
  'privateKey',
  'resetKey',
  'retryKeys',
  'secret',
  'token',
];

/** Fields that name where a user is; kept at debug and trace alone. */
const userAddressFields: ReadonlySet<string> = new Set([
  'clientAddress',
  'remoteAddress',
  'sourceAddress',
  'userAddress',
]);
const debugLevel = 20;

/** A logger of JSON lines, or of one readable line per entry. */
export function createLogger(settings: LoggerSettings): Logger {
  const sink = settings.sink ?? destination({ fd: 2, sync: true });
  const colour = settings.colour ?? false;
  const stream =
    settings.format === 'json' ? sink : { write: (line: string) => sink.write(humanLine(line, colour)) };
  const options: LoggerOptions<never> = {
    level: settings.level,
    base: { component: settings.component },
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    redact: { paths: secretFields.flatMap((f) => [f, `*.${f}`]), censor: '[redacted]' },
    serializers: { err: serializeError, error: serializeError },
    hooks: {
      logMethod(args, method, level) {
        const [fields, ...rest] = args as unknown as [unknown, ...unknown[]];
        Reflect.apply(method, this, level > debugLevel ? [withoutUserAddresses(fields), ...rest] : args);
      },
    },
  };
  return pino(options, stream as LogSink & { write(line: string): void });
}

/** Where in our code a file, a peer or a policy was found wrong helps nobody: a stack is for bugs. */
function serializeError(error: Error) {
  const serialized = stdSerializers.err(error);
  return isFault(error) && error.fault !== 'internal'
    ? Object.assign(serialized, { stack: undefined })
    : serialized;
}

function withoutUserAddresses(fields: unknown): unknown {
  if (typeof fields !== 'object' || fields === null || fields instanceof Error) return fields;
  const entries = Object.entries(fields);
  if (!entries.some(([name]) => userAddressFields.has(name))) return fields;
  return Object.fromEntries(entries.filter(([name]) => !userAddressFields.has(name)));
}
