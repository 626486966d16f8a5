import type { KeyThumbprint, Role, SpiffeId, TenantName } from '@ztna/wire';

declare const brand: unique symbol;
/** Handle of one outer connection, chosen by the shell and never used twice in a process. */
export type ConnectionKey = number & { readonly [brand]: 'ConnectionKey' };
/** Handle of one flow, chosen by the shell and never used twice in a process. */
export type FlowKey = number & { readonly [brand]: 'FlowKey' };

/** Who is at the other end, read by the shell from the verified leaf certificate alone. */
export interface PeerIdentity {
  readonly id: SpiffeId;
  readonly tenant: TenantName;
  readonly role: Role;
  /** Of the SubjectPublicKeyInfo of the leaf. */
  readonly keyThumbprint: KeyThumbprint;
}

/**
 * A protocol core without IO. The shell calls `handleInput` for everything that happens, then takes
 * outputs until there is none, then sets one timer for `pollTimeout` and calls `handleTimeout` when it fires.
 *
 * `now` is in milliseconds since the Unix epoch (grants are valid by it), may have a fraction, and must never go back.
 */
export interface Core<Input, Output> {
  handleInput(input: Input, now: number): void;
  handleTimeout(now: number): void;
  /** When `handleTimeout` wants to be called next; undefined when there is nothing to wait for. */
  pollTimeout(): number | undefined;
  /** The next thing to carry out, in order; undefined when there is none. */
  pollOutput(): Output | undefined;
}

/** Something worth a log line. `fields` never hold payload, keys or addresses of users. */
export interface EventOutput {
  readonly type: 'event';
  readonly level: 'debug' | 'info' | 'warn';
  readonly event: string;
  readonly fields: Readonly<Record<string, string | number | boolean | undefined>>;
}

/** Adds one to a counter; `cause` is a label with few values. */
export interface CountOutput {
  readonly type: 'count';
  readonly metric: string;
  readonly cause: string;
}

/** Makes `Exclude`d variants of a switch a compile error. */
export function unreachable(value: never): never {
  throw new Error(`unhandled variant: ${JSON.stringify(value)}`);
}
