/** How packets of a session travel now, and why not better (design §6). */
export interface PathVerdict {
  /** `none`: no path; `waiting`: none, and the session waits for one to return. */
  readonly path: 'direct' | 'relayed' | 'none' | 'waiting';
  /** Since when, ms since the Unix epoch. */
  readonly since: number;
  /** The peer's address on a direct path. */
  readonly remote?: string;
  /** Why this path and not a better one. Stable, lower-case words joined by `-`. */
  readonly reason?: string;
  /** What would help, one sentence. */
  readonly remedy?: string;
  /** What was found out of the NATs on the way. */
  readonly nat?: string;
  readonly rttMs?: number;
  /** Share of packets lost, 0 to 1. */
  readonly loss?: number;
  /** UDP payload, bytes. */
  readonly mtu?: number;
}
