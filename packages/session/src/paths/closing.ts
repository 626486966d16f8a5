import type { DirectPath, PathState } from './state.ts';

/** Closes what policy denies, what stayed dead, and what is more than is of use. */
export function closePaths(state: PathState, now: number): void {
  const { deadKeepMs, maxDirectPaths } = state.tuning;
  if (state.isDenied) {
    for (const path of [...state.directs.values()]) close(state, path, 'denied');
    return;
  }
  const hasLiving = state.isRelayUsable || state.living().length > 0;
  for (const path of [...state.directs.values()]) {
    if (!hasLiving || path.deadSince === undefined || now - path.deadSince < deadKeepMs) continue;
    close(state, path, 'dead');
  }
  if (state.side === 'connector') return;
  while (state.directs.size > maxDirectPaths) {
    const spare = worst(state);
    if (!spare) return;
    close(state, spare, 'too-many');
  }
}

/** The least useful direct path that is not in use: a dead one, else the slowest; unmeasured ones last. */
function worst(state: PathState): DirectPath | undefined {
  const spare = [...state.directs.values()].filter(({ id }) => id !== state.current);
  const dead = spare.find(({ deadSince }) => deadSince !== undefined);
  const rtt = ({ quality }: DirectPath) => quality.rttMs ?? 0;
  return dead ?? spare.sort((a, b) => rtt(b) - rtt(a) || b.id - a.id)[0];
}

export function close(state: PathState, path: DirectPath, cause: string): void {
  state.directs.delete(path.id);
  state.outbox.push({ type: 'close-path', path: path.id });
  state.count('path_closed', cause);
}
