import { isFault } from '@ztna/runtime';

/** How one pre-check came out. `check` and `code` are stable; `code` is `ok` unless something is to be said. */
export interface Check {
  readonly check: CheckName;
  readonly status: 'ok' | 'warn' | 'fail' | 'skip';
  readonly code: string;
  readonly message: string;
  readonly remedy?: string;
  /** What was measured, for programs. */
  readonly facts?: Readonly<Record<string, string | number | boolean>>;
}

/** Every check, in the order in which they are shown. */
export type CheckName =
  | 'runtime'
  | 'configuration'
  | 'key'
  | 'certificate'
  | 'snapshot'
  | 'name'
  | 'udp'
  | 'nat'
  | 'port-mapping'
  | 'clock'
  | 'listen'
  | 'udp-buffers'
  | 'file-descriptors'
  | 'ipv6';

type Facts = NonNullable<Check['facts']>;

export function ok(check: CheckName, message: string, facts?: Facts): Check {
  return { check, status: 'ok', code: 'ok', message, ...(facts && { facts }) };
}

/** Could not be checked because an earlier check failed. */
export function skip(check: CheckName, message: string): Check {
  return { check, status: 'skip', code: 'skipped', message };
}

export interface Finding {
  readonly code: string;
  readonly message: string;
  readonly remedy?: string | undefined;
}

/** It works, and somebody should look. */
export function warn(check: CheckName, finding: Finding, facts?: Facts): Check {
  return made(check, 'warn', finding, facts);
}

/** An agent cannot do its work so. */
export function fail(check: CheckName, finding: Finding, facts?: Facts): Check {
  return made(check, 'fail', finding, facts);
}

/** An error that explains itself as a failed check; anything else is a bug and is thrown on. */
export function failed(check: CheckName, error: unknown, remedy?: string): Check {
  if (!isFault(error)) throw error;
  const { code, message } = error;
  // Where a file comes from says more than that it cannot be read.
  const own = code === 'file-system' ? (remedy ?? error.remedy) : (error.remedy ?? remedy);
  // A ZtnaError ends its message with the remedy, which has a line of its own here.
  const ending = `: ${error.remedy}`;
  const said = message.endsWith(ending) ? message.slice(0, -ending.length) : message;
  return fail(check, { code, message: said, remedy: own });
}

function made(check: CheckName, status: 'warn' | 'fail', finding: Finding, facts?: Facts): Check {
  const { code, message, remedy } = finding;
  return { check, status, code, message, ...(remedy !== undefined && { remedy }), ...(facts && { facts }) };
}
