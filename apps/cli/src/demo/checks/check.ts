import type { Address } from '@ztna/runtime';
import type { Child } from '../processes/child.ts';
import type { Tap } from '../tap/tap.ts';
import type { TcpTap } from '../tap/tcp-tap.ts';

/** How the bytes of a check travelled, as the tap in front of the intermediate saw it. */
export type Path = 'relayed' | 'direct' | 'mixed' | 'none';

export interface CheckResult {
  readonly name: string;
  readonly ok: boolean;
  /** Could not be done here, for the reason in `detail`; `ok` is true then. */
  readonly skipped?: true;
  readonly ms: number;
  readonly path: Path;
  readonly detail: string;
}

/** What a check found out. */
export interface Evidence {
  readonly detail: string;
  /** Bytes that had to travel through the session, least estimate; 0 when none had to. */
  readonly bytes: number;
  readonly skipped?: true;
}

export interface Check {
  /** Stable, for programs. */
  readonly name: string;
  /** For people. */
  readonly title: string;
  readonly timeoutMs: number;
  /** Throws when it does not hold. */
  run(context: CheckContext): Promise<Evidence>;
}

/** The running system as the checks see it; local addresses lead through the agent. */
export interface CheckContext {
  readonly http: Address;
  readonly tcp: Address;
  readonly udp: Address;
  /** TCP echo whose traffic is kept on the backend's side. */
  readonly watched: Address;
  readonly watchedTap: TcpTap;
  /** The proxy of the agent without a grant. */
  readonly visitorProxy: Address;
  readonly tap: Tap;
  readonly processes: { readonly intermediate: Child; readonly backend: Child; readonly visitor: Child };
  /** Path of its configuration, which is among its arguments. */
  readonly intermediateConfig: string;
  /** A file for the packet capture. */
  readonly captureFile: string;
  readonly signal: AbortSignal;
}

/** A check that does not hold: `message` says what was expected and what was found. */
export class CheckFailure extends Error {
  override readonly name = 'CheckFailure';
}

/** Throws CheckFailure unless `holds`. */
export function hold(holds: boolean, otherwise: string): asserts holds {
  if (!holds) throw new CheckFailure(otherwise);
}
