import { getSystemErrorMessage } from 'node:util';

/** Who is at fault; decides the exit code and what the message advises. */
export type FaultClass = 'peer' | 'policy' | 'config' | 'internal';

/**
 * What the command line needs of an error to explain it to a person. `ZtnaError` of `@ztna/wire` fits it; the
 * check is structural, so that starting the command line does not load the wire package.
 */
export interface Fault extends Error {
  /** Stable, lower-case words joined by `-`, for programs. */
  readonly code: string;
  readonly fault: FaultClass;
  /** What to do about it, one sentence. */
  readonly remedy?: string | undefined;
}

const faultClasses: ReadonlySet<unknown> = new Set<FaultClass>(['peer', 'policy', 'config', 'internal']);

/** Whether an error explains itself by code and fault class. */
export function isFault(error: unknown): error is Fault {
  if (!(error instanceof Error)) return false;
  const { code, fault } = error as Partial<Fault>;
  return typeof code === 'string' && faultClasses.has(fault);
}

/** An error of this machine: a file, a socket, an option. `message` says what happened to what. */
export class RuntimeFault extends Error implements Fault {
  override readonly name = 'RuntimeFault';
  readonly code: string;
  readonly fault: FaultClass;
  readonly remedy?: string;

  constructor(o: { code: string; fault: FaultClass; message: string; remedy?: string; cause?: unknown }) {
    super(o.message, o.cause === undefined ? undefined : { cause: o.cause });
    this.code = o.code;
    this.fault = o.fault;
    if (o.remedy !== undefined) this.remedy = o.remedy;
  }
}

/** Said better than the system says it; for files its own words do. */
const systemReasons: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the port is in use',
  EADDRNOTAVAIL: 'this machine does not have that address',
  EAFNOSUPPORT: 'this machine does not support that address family',
  ENOTFOUND: 'no such host name',
};

/** The reason of a system error in words, `no such file or directory` for ENOENT. */
export function systemReason(error: unknown): string {
  const code = systemCode(error);
  if (code !== undefined && systemReasons[code] !== undefined) return systemReasons[code];
  const { errno } = (error ?? {}) as NodeJS.ErrnoException;
  if (code !== undefined && typeof errno === 'number' && errno < 0) return getSystemErrorMessage(errno);
  return error instanceof Error ? error.message : String(error);
}

/** `ENOENT` and the like, if the error came from the system. */
export function systemCode(error: unknown): string | undefined {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return typeof code === 'string' ? code : undefined;
}

/** What to say when a socket cannot be bound. `setting` names the option or field that chose the address. */
export function listenFault(address: string, setting: string, cause: unknown): RuntimeFault {
  const remedy =
    systemCode(cause) === 'EADDRINUSE'
      ? `stop the program that has it, or choose another address with ${setting} (port 0 takes a free one)`
      : `choose another address with ${setting}`;
  return new RuntimeFault({
    code: 'listen-failed',
    fault: 'config',
    message: `cannot listen on ${address}: ${systemReason(cause)}`,
    remedy,
    cause,
  });
}
