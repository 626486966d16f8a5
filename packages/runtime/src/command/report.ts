import { type Fault, isFault, systemReason } from '../faults.ts';
import { exitCode } from './exit-codes.ts';
import { UsageError } from './usage-error.ts';

/** An error for people or, with `json`, one line for programs. `path` is how the command was called. */
export function errorReport(error: unknown, path: string, json: boolean): string {
  if (json) return `${JSON.stringify({ error: describe(error) })}\n`;
  if (error instanceof UsageError) {
    const remedy = error.remedy ? `  ${error.remedy}\n` : '';
    return `${path}: ${error.message}\n${remedy}  see: ${path} --help\n`;
  }
  if (!isFault(error)) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return `${path}: unexpected error, this is a bug\n${text}\n`;
  }
  const remedy = error.remedy ? `  what to do: ${error.remedy}\n` : '';
  return `${path}: ${withoutRemedy(error)}\n${remedy}${causes(error)}  code: ${error.code} (${error.fault})\n`;
}

/** The exit code that an error asks for. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError) return exitCode.usage;
  return isFault(error) && error.fault === 'config' ? exitCode.config : exitCode.failure;
}

function describe(error: unknown) {
  if (error instanceof UsageError) {
    return { code: error.code, fault: 'config', message: error.message, remedy: error.remedy };
  }
  if (isFault(error)) {
    const { code, fault, message, remedy } = error;
    const issues = 'issues' in error ? error.issues : undefined;
    return { code, fault, message, remedy, issues };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { code: 'unexpected', fault: 'internal', message };
}

/** ZtnaError ends its message with the remedy, which has a line of its own here. */
function withoutRemedy({ message, remedy }: Fault): string {
  const ending = `: ${remedy}`;
  return message.endsWith(ending) ? message.slice(0, -ending.length) : message;
}

/** The chain of causes that say something the message does not say already. */
function causes(error: Fault): string {
  let text = '';
  let said = error.message;
  for (
    let cause = error.cause, depth = 0;
    cause instanceof Error && depth < 5;
    cause = cause.cause, depth++
  ) {
    if (said.includes(cause.message) || said.includes(systemReason(cause))) continue;
    said += cause.message;
    text += `  because: ${cause.message}\n`;
  }
  return text;
}
