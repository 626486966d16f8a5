import { type Fault, isFault } from '../faults.ts';
import { exitCode } from './exit-codes.ts';
import { UsageError } from './usage-error.ts';

/** An error for people or, with `json`, one line for programs. `path` is how the command was called. */
export function errorReport(error: unknown, path: string, json: boolean): string {
  if (json) return `${JSON.stringify({ error: describe(error) })}\n`;
  if (error instanceof UsageError) {
    const hint = error.hint ? `  ${error.hint}\n` : '';
    return `${path}: ${error.message}\n${hint}  see: ${path} --help\n`;
  }
  if (!isFault(error)) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return `${path}: unexpected error, this is a bug\n${text}\n`;
  }
  const hint = error.hint ? `  what to do: ${error.hint}\n` : '';
  return `${path}: ${error.message}\n${hint}${causes(error)}  code: ${error.code} (${error.fault})\n`;
}

/** The exit code that an error asks for. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError) return exitCode.usage;
  return isFault(error) && error.fault === 'config' ? exitCode.config : exitCode.failure;
}

function describe(error: unknown) {
  if (error instanceof UsageError) {
    return { code: error.code, fault: 'config', message: error.message, hint: error.hint };
  }
  if (isFault(error)) {
    const { code, fault, message, hint } = error;
    const issues = 'issues' in error ? error.issues : undefined;
    return { code, fault, message, hint, issues };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { code: 'ERR_UNEXPECTED', fault: 'internal', message };
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
    if (said.includes(cause.message)) continue;
    said += cause.message;
    text += `  because: ${cause.message}\n`;
  }
  return text;
}
