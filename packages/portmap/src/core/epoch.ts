/** What a gateway said of its age, and when. */
export interface Epoch {
  /** Seconds since the gateway has its state. */
  readonly seconds: number;
  /** Our time, milliseconds. */
  readonly at: number;
}

/** Whether a PCP gateway lost its mappings between two answers (RFC 6887 section 8.5). */
export function pcpRestarted(before: Epoch, after: Epoch): boolean {
  if (after.seconds + 1 < before.seconds) return true;
  const ours = (after.at - before.at) / 1000;
  const theirs = after.seconds - before.seconds;
  return ours + 2 < theirs - theirs / 16 || theirs + 2 < ours - ours / 16;
}

/** Whether a NAT-PMP gateway lost its mappings: its clock is behind what is expected (RFC 6886 section 3.6). */
export function natPmpRestarted(before: Epoch, after: Epoch): boolean {
  const ours = (after.at - before.at) / 1000;
  return after.seconds < before.seconds + (ours * 7) / 8 - 2;
}
