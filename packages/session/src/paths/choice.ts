import type { Quality } from './quality.ts';
import { type DirectPath, type PathState, RELAY } from './state.ts';

/** Why traffic goes to another path; counted. `forced`: the path before could or may not carry it any more. */
export interface Switch {
  readonly path: number;
  readonly cause:
    | 'direct'
    | 'faster'
    | 'ipv6'
    | 'worse'
    | 'lossy'
    | 'died'
    | 'relay-lost'
    | 'required'
    | 'denied'
    | 'followed';
  readonly forced: boolean;
}

const MINUTE = 60_000;

type Measured = Pick<Quality, 'rttMs'>;

/** What to use instead of the current path; undefined to stay. */
export function choose(state: PathState, now: number): Switch | undefined {
  const { current } = state;
  if (state.isDenied) return current === RELAY ? undefined : { path: RELAY, cause: 'denied', forced: true };
  const wanted = state.side === 'connector' ? follow(state) : decide(state, now);
  return wanted?.path === current ? undefined : wanted;
}

/** When `choose` may come to something else by time alone. */
export function nextChoice({ tuning, better, switches, hold, relay }: PathState, now: number): number {
  const times = [hold.next(now), relay.suspectUntil, (switches[0] ?? Infinity) + MINUTE];
  if (better) times.push(better.since + tuning.betterForMs);
  return Math.min(Infinity, ...times.filter((at) => at > now));
}

/** A connector uses what the agent ordered last, as long as that lives. */
function follow(state: PathState): Switch | undefined {
  const living = state.living();
  const [ordered] = living
    .filter(({ inUse }) => inUse !== undefined)
    .sort((a, b) => (b.inUse ?? 0) - (a.inUse ?? 0));
  if (ordered) return { path: ordered.id, cause: 'followed', forced: true };
  if (state.isRelayUsable || living.length === 0) return { path: RELAY, cause: 'followed', forced: true };
  return { path: state.direct?.id ?? bestOf(state, living)?.id ?? RELAY, cause: 'relay-lost', forced: true };
}

function decide(state: PathState, now: number): Switch | undefined {
  const { direct } = state;
  const free = state
    .living()
    .filter((path) => !state.hold.isHeld(path.remote, now) || isExcused(state, path, now));
  const isRequired = state.policy.direct === 'require';
  if (direct)
    return isRequired ? improve(state, direct, free, now) : leaveOrImprove(state, direct, free, now);
  state.better = undefined;
  const fault = state.current === RELAY ? 'relay-lost' : 'died';
  if (isRequired) {
    const best = bestOf(state, free) ?? bestOf(state, state.living());
    return best
      ? { path: best.id, cause: 'required', forced: true }
      : { path: RELAY, cause: 'died', forced: true };
  }
  const best = bestOf(
    state,
    free.filter((path) => isTakeable(state, path, now)),
  );
  if (state.current === RELAY && state.isRelayUsable) {
    if (!best || !hasSwitchesLeft(state, now)) return undefined;
    return { path: best.id, cause: 'direct', forced: false };
  }
  if (best) return { path: best.id, cause: fault, forced: true };
  if (state.isRelayUsable) return { path: RELAY, cause: fault, forced: true };
  const any = bestOf(state, free) ?? bestOf(state, state.living());
  return any && { path: any.id, cause: fault, forced: true };
}

/** The relay counts as an alternative: it takes over from a direct path that loses packets or is much slower. */
function leaveOrImprove(
  state: PathState,
  direct: DirectPath,
  free: readonly DirectPath[],
  now: number,
): Switch | undefined {
  const better = improve(state, direct, free, now);
  if (better || !state.isRelayUsable || !hasSwitchesLeft(state, now)) return better;
  if (losesMore(state, direct, now)) return { path: RELAY, cause: 'lossy', forced: false };
  return undefined;
}

/** Whether a direct path loses too much, and clearly more than the relay: both may share the link that loses. */
function losesMore(state: PathState, path: DirectPath, now: number): boolean {
  const { relay, tuning } = state;
  const ofPath = path.quality.loss(now) ?? 0;
  if (!path.quality.isLossy(now)) return false;
  const ofRelay = relay.quality.loss(now);
  if (path !== state.direct || now >= relay.suspectUntil) return (ofRelay ?? 0) < ofPath * tuning.likeLoss;
  return ofRelay !== undefined && ofRelay < ofPath * tuning.likeLoss ** 2;
}

/** It was left for its losses, and the relay turned out to lose as much. */
function isExcused(state: PathState, path: DirectPath, now: number): boolean {
  return path.wasLossy && path.quality.isLossy(now) && !losesMore(state, path, now);
}

function improve(
  state: PathState,
  direct: DirectPath,
  free: readonly DirectPath[],
  now: number,
): Switch | undefined {
  const others = free.filter((path) => path !== direct && path.quality.rttMs !== undefined);
  const hasSwitches = hasSwitchesLeft(state, now);
  if (direct.quality.isLossy(now) && hasSwitches) {
    const clean = others.filter((path) => !path.quality.isLossy(now) && isTakeable(state, path, now));
    const best = bestOf(state, clean);
    if (best) return { path: best.id, cause: 'lossy', forced: false };
  }
  const better = clearlyBetter(state, direct, others, now);
  const found = better ?? likeIpv6(state, direct, others, now);
  if (found === undefined) {
    state.better = undefined;
    return undefined;
  }
  const { tuning, rounds } = state;
  if (state.better?.path !== found) state.better = { path: found, since: now, round: rounds };
  const lasted = now - state.better.since >= tuning.betterForMs;
  if (!lasted || rounds - state.better.round < tuning.betterSamples || !hasSwitches) return undefined;
  if (better === undefined) return { path: found, cause: 'ipv6', forced: false };
  return { path: found, cause: found === RELAY ? 'worse' : 'faster', forced: false };
}

/** An alternative that is clearly better now: the one seen before if it still is, else the best. */
function clearlyBetter(
  state: PathState,
  direct: DirectPath,
  others: readonly DirectPath[],
  now: number,
): number | undefined {
  const found = others.filter(
    ({ quality }) => !quality.isLossy(now) && isClearlyBetter(state, quality, direct.quality),
  );
  const isRelayBetter =
    state.policy.direct !== 'require' &&
    state.isRelayUsable &&
    !state.relay.quality.isLossy(now) &&
    isClearlyBetter(state, state.relay.quality, direct.quality) &&
    !isTakenAgain(state, direct);
  const ids = [...found.map(({ id }) => id), ...(isRelayBetter ? [RELAY] : [])];
  if (state.better && ids.includes(state.better.path)) return state.better.path;
  return bestOf(state, found)?.id ?? ids[0];
}

/**
 * An IPv6 path that the IPv4 one in use is not clearly better than: it came later, or it would have been taken at once.
 * Judged by the least RTT, as a path at rest is; so one that was slower in use is not taken again.
 */
function likeIpv6(
  state: PathState,
  direct: DirectPath,
  others: readonly DirectPath[],
  now: number,
): number | undefined {
  if (direct.family === 6) return undefined;
  const least = ({ quality }: DirectPath) => ({ rttMs: quality.minRttMs });
  const alike = others.filter(
    (path) =>
      path.family === 6 &&
      !path.wasSlower &&
      isTakeable(state, path, now) &&
      !isClearlyBetter(state, least(direct), least(path)),
  );
  return bestOf(state, alike)?.id;
}

/** Whether a direct path is good enough to be taken while the relay works. */
function isTakeable(state: PathState, path: DirectPath, now: number): boolean {
  const { relay } = state;
  const { quality } = path;
  if (!state.isRelayUsable || state.policy.direct === 'require') return true;
  if (quality.minRttMs === undefined || losesMore(state, path, now)) return false;
  return relay.quality.isLossy(now) || quality.minRttMs <= takeLimit(state);
}

/** A path is not left for the relay as long as it would be taken again at once, or nearly. */
function isTakenAgain(state: PathState, { quality }: DirectPath): boolean {
  return (quality.rttMs ?? 0) <= takeLimit(state) * 1.1;
}

function takeLimit({ relay, tuning }: PathState): number {
  return (relay.quality.rttMs ?? Infinity) * tuning.takeFactor + tuning.takeMarginMs;
}

function isClearlyBetter({ tuning }: PathState, a: Measured, b: Measured): boolean {
  if (a.rttMs === undefined || b.rttMs === undefined) return false;
  return a.rttMs <= b.rttMs * (1 - tuning.betterShare) && b.rttMs - a.rttMs >= tuning.betterMs;
}

/** The least RTT; of those that it is not clearly better than, IPv6 first. */
export function bestOf(state: PathState, paths: readonly DirectPath[]): DirectPath | undefined {
  const rtt = ({ quality }: DirectPath) => quality.rttMs ?? Number.MAX_VALUE;
  const byRtt = [...paths].sort((a, b) => rtt(a) - rtt(b) || a.id - b.id);
  const [first] = byRtt;
  if (!first) return undefined;
  const alike = byRtt.filter(
    (path) =>
      rtt(path) === rtt(first) ||
      (path.quality.rttMs !== undefined && !isClearlyBetter(state, first.quality, path.quality)),
  );
  return alike.find(({ family }) => family === 6) ?? first;
}

function hasSwitchesLeft(state: PathState, now: number): boolean {
  state.switches = state.switches.filter((at) => at > now - MINUTE);
  return state.switches.length < state.tuning.switchesPerMinute;
}
