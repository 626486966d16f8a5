import type { PathVerdict } from '@ztna/session';
import type { Component, ComponentRole } from './component.ts';
import type { PortMappingStatus } from './direct/port-mapping.ts';

// What a running component says of itself over its control socket, as `ztna status --json` prints it. Fields are only
// ever added; instants are RFC 3339, UTC, milliseconds. Nothing secret is in it.

/** Something that keeps a component from its work, or soon will. */
export interface Problem {
  /** Stable, lower-case words joined by `-`. */
  readonly code: string;
  readonly message: string;
  readonly remedy?: string;
  /** When it began, where that is known. */
  readonly since?: string;
}

/** One connection to an intermediate. */
export interface IntermediateStatus {
  readonly name: string;
  /** `stalled`: connected, and nothing was heard although an answer is due. */
  readonly state: 'connecting' | 'connected' | 'stalled';
  readonly since: string;
  /** `ip:port` */
  readonly remote?: string;
  readonly rttMs?: number;
  readonly mtu?: number;
  /** This side's address as the intermediate sees it. */
  readonly observed?: string;
  /** By how much the intermediate's clock is ahead, ms; as far as one message can tell. */
  readonly clockAheadMs?: number;
}

/** How a session's packets travel: the verdict, its instant as text, its figures rounded. */
export type PathStatus = Omit<PathVerdict, 'since' | 'remedy'> & {
  readonly since: string;
  readonly remedy?: string;
};

export interface SessionStatus {
  readonly session: string;
  /** SPIFFE id. */
  readonly connector: string;
  readonly state: 'connecting' | 'up';
  /** Once it is up. */
  readonly path?: PathStatus;
}

/** A local port that an agent serves. */
export interface LocalListener {
  readonly kind: 'forward' | 'proxy';
  readonly listen: string;
  readonly transport: 'tcp' | 'udp';
  /** Of a forward. */
  readonly service?: string;
  readonly port?: number;
}

/** What every component has. */
export interface CommonStatus {
  /** SPIFFE id. */
  readonly id: string;
  /** Nothing is in the way. */
  readonly healthy: boolean;
  readonly problems: readonly Problem[];
  /** Of the UDP socket. */
  readonly listen: string;
  readonly certificate: { readonly notAfter: string };
  readonly snapshot: { readonly revision: number; readonly expires: string };
  /** What was dropped since the start, by cause; causes that did not occur are left out. */
  readonly drops: Readonly<Record<string, number>>;
}

export interface AgentReport extends CommonStatus {
  readonly component: 'agent';
  readonly intermediates: readonly IntermediateStatus[];
  /** While there is neither a connection nor an attempt: when the next one begins. Absent then: none may be used. */
  readonly nextAttempt?: string;
  readonly listeners: readonly LocalListener[];
  readonly portMapping: PortMappingStatus;
  /** At most 256. */
  readonly sessions: readonly SessionStatus[];
  readonly flows: number;
  /** What happened since the start, by `event.cause`. */
  readonly events: Readonly<Record<string, number>>;
}

export interface ConnectorReport extends CommonStatus {
  readonly component: 'connector';
  readonly intermediates: readonly IntermediateStatus[];
  /** As an agent's: the first of all. */
  readonly nextAttempt?: string;
  readonly portMapping: PortMappingStatus;
  readonly sessions: number;
  readonly flows: number;
}

export interface IntermediateReport extends CommonStatus {
  readonly component: 'intermediate';
  readonly peers: number;
  readonly sessions: number;
  readonly relayed: { readonly datagrams: number; readonly bytes: number };
}

/** Of which process the report is. */
export interface ProcessFacts {
  readonly pid: number;
  /** `ztna forward` */
  readonly command: string;
  readonly software: string;
  readonly started: string;
  readonly configFile: string;
}

export type ComponentReport = AgentReport | ConnectorReport | IntermediateReport;
/** The answer to `status` on the control socket. */
export type ComponentStatus = ProcessFacts & ComponentReport;

/** What ends sooner is a problem already, ms. */
const SOON_MS = 60 * 60_000;

/** The part of a report that files decide. `problems` are further ones. */
export function commonStatus<R extends ComponentRole>(
  component: Component<R>,
  nowMs: number,
  rest: {
    readonly listen: string;
    readonly drops: CommonStatus['drops'];
    readonly problems: readonly Problem[];
  },
): CommonStatus {
  const { identity, snapshot } = component;
  const problems = [...validityProblems(component, nowMs), ...rest.problems];
  return {
    id: identity.id,
    healthy: problems.length === 0,
    problems,
    listen: rest.listen,
    certificate: { notAfter: instant(identity.notAfterMs) },
    snapshot: { revision: snapshot.revision, expires: instant(snapshot.expiresAtMs) },
    drops: Object.fromEntries(Object.entries(rest.drops).filter(([, count]) => count > 0)),
  };
}

/** RFC 3339 in UTC, to the millisecond: as instants are written everywhere. */
export function instant(ms: number): string {
  return new Date(ms).toISOString();
}

/** Figures for people and programs: no digits that mean nothing. */
export function rounded(value: number, decimals: number): number {
  return Number(value.toFixed(decimals));
}

function* validityProblems<R extends ComponentRole>(
  { identity, snapshot, role, refused }: Component<R>,
  nowMs: number,
): Generator<Problem> {
  const until = instant(identity.notAfterMs);
  const anew = `\`ztna pki issue --role ${role} --force\`, into the same folder`;
  if (nowMs >= identity.notAfterMs) {
    yield { code: 'certificate-expired', message: `the certificate expired at ${until}`, remedy: anew };
  } else if (identity.notAfterMs - nowMs < SOON_MS) {
    yield { code: 'certificate-expires', message: `the certificate expires at ${until}`, remedy: anew };
  }
  const expires = instant(snapshot.expiresAtMs);
  const sign = 'sign a new one with `ztna pki sign-snapshot`';
  if (nowMs >= snapshot.expiresAtMs) {
    yield { code: 'snapshot-expired', message: `the snapshot expired at ${expires}`, remedy: sign };
  } else if (snapshot.expiresAtMs - nowMs < SOON_MS) {
    yield { code: 'snapshot-expires', message: `the snapshot expires at ${expires}`, remedy: sign };
  }
  if (refused) {
    const { code, message, remedy } = refused;
    yield { code, message: `the last good snapshot is in force: ${message}`, ...(remedy && { remedy }) };
  }
}
