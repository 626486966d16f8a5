import type { DirectPaths } from '@ztna/wire';
import type { Core, CountOutput } from '../types.ts';
import { ownCandidates, remoteCandidates } from './candidates.ts';
import { choose, nextChoice, type Switch } from './choice.ts';
import { closePaths } from './closing.ts';
import { take } from './inputs.ts';
import type { PathDeps, PathInput, PathOutput, PathVerdict } from './io.ts';
import { nextReport, report } from './report.ts';
import { PathState, RELAY } from './state.ts';
import { judge, nextVerdict } from './verdict.ts';

/**
 * The paths of one session, on one side: which addresses to show, when to probe, which path to use, and why.
 * It starts on the relay, path 0. Both sides run one; the agent's decides, the connector's follows. What the own
 * policy denies or the address filter refuses is neither shown nor used, whatever the other side does.
 */
export class PathCore implements Core<PathInput, PathOutput> {
  readonly #state: PathState;
  #now = 0;

  constructor(deps: PathDeps) {
    this.#state = new PathState(deps);
  }

  handleInput(input: PathInput, now: number): void {
    const state = this.#state;
    state.startedAt ??= now;
    take(state, input, now);
    this.handleTimeout(now);
  }

  handleTimeout(now: number): void {
    this.#now = now;
    const state = this.#state;
    state.startedAt ??= now;
    reviewCandidates(state);
    const isLost = switchPaths(state, now);
    closePaths(state, now);
    probe(state, now, isLost);
    askSamples(state, now);
    report(state, now);
  }

  pollTimeout(): number | undefined {
    const at = nextTime(this.#state, this.#now);
    return at === Infinity ? undefined : at;
  }

  pollOutput(): PathOutput | undefined {
    return this.#state.outbox.take();
  }

  /** The verdict with the newest figures. `verdict-changed` tells changes of all but figures. */
  verdict(): PathVerdict {
    return judge(this.#state, this.#now);
  }

  /**
   * Whether flows may run now. With `require`, of the session or of the flow's own service, only while a direct path is
   * in use: what a session denies for one service no flow of another that requires it gets.
   */
  mayCarryFlows(service: DirectPaths = this.#state.policy.direct): boolean {
    const { policy, direct } = this.#state;
    return (service !== 'require' && policy.direct !== 'require') || direct !== undefined;
  }

  /** Sizes of what is kept, for gauges and for tests of bounds. */
  stats(): { directPaths: number; ownCandidates: number; remoteCandidates: number } {
    const { directs, own, remote } = this.#state;
    return { directPaths: directs.size, ownCandidates: own.length, remoteCandidates: remote.length };
  }
}

/** Works out anew what may be shown and probed. */
function reviewCandidates(state: PathState): void {
  if (!state.sourcesChanged) return;
  state.sourcesChanged = false;
  const { settings, interfaces, mapped, observations, allowPrivate, filter, outbox } = state;
  const count = (refusal: CountOutput) => outbox.push(refusal);
  const remote = remoteCandidates(state.offered, interfaces, filter, count);
  if (remote.join() !== state.remote.join()) state.candidatesChanged = true;
  state.remote = remote;
  const mapping = (family: 4 | 6) => observations.mapping(family, interfaces.all);
  const observed = observations.addresses();
  const sources = { settings, interfaces, mapped, observed, mapping, allowPrivate };
  const addresses = state.isDenied ? [] : ownCandidates(sources, filter, count);
  if (addresses.join() === state.own.join()) return;
  state.own = addresses;
  state.candidatesChanged = true;
  outbox.push({ type: 'show-candidates', addresses });
}

/** Goes to the path that is best now. True when a direct path is no longer in use. */
function switchPaths(state: PathState, now: number): boolean {
  const before = state.current;
  const wanted = choose(state, now);
  if (wanted) apply(state, wanted, now);
  return before !== RELAY && state.current === RELAY;
}

function apply(state: PathState, { path, cause, forced }: Switch, now: number): void {
  const left = state.directs.get(state.current);
  if (left && cause === 'faster') left.wasSlower = true;
  if (left) left.wasLossy = cause === 'lossy';
  if (left && (cause === 'worse' || cause === 'lossy')) state.hold.left(left.remote, now);
  if (state.directs.get(path)?.quality.isLossy(now)) state.suspectRelay(now);
  if (!forced) state.switches.push(now);
  state.current = path;
  state.better = undefined;
  state.outbox.push({ type: 'prefer', path });
  state.count('path_switch', cause);
}

function probe(state: PathState, now: number, wasDirect: boolean): void {
  const { probing, direct, side, own, remote, isDenied } = state;
  const hasPath = state.isRelayUsable || direct !== undefined;
  const may = side === 'agent' && !isDenied && own.length > 0 && remote.length > 0 && hasPath;
  const hasChanged = state.candidatesChanged;
  if (may) state.candidatesChanged = false;
  if (!may) probing.stop();
  else if (!direct && (wasDirect || !state.mayProbe || hasChanged)) {
    probing.restart(now, wasDirect ? 'lost' : 'candidates');
  } else if (direct && hasChanged) probing.once(now, 'candidates');
  if (direct) probing.rest();
  state.mayProbe = may;
  const cause = probing.take(now);
  if (cause === undefined) return;
  state.outbox.push({ type: 'probe' });
  state.count('path_probe', cause);
}

function askSamples(state: PathState, now: number): void {
  if (state.nextSampleAt > now) return;
  const { sampleMs, idleSampleMs, youngSampleMs, youngMs } = state.tuning;
  const isYoung = state.living().some(({ openedAt }) => now < openedAt + youngMs);
  const isChoosing = state.side === 'agent' && !state.direct && isYoung;
  const interval = state.directs.size > 0 ? sampleMs[state.side] : idleSampleMs;
  state.nextSampleAt = now + (isChoosing ? youngSampleMs : interval);
  state.outbox.push({ type: 'ask-samples' });
}

/** The next time at which something is to be done; only times after `now`, or the shell would spin. */
function nextTime(state: PathState, now: number): number {
  const { directs, tuning } = state;
  const dead = [...directs.values()].flatMap(({ deadSince }) =>
    deadSince === undefined ? [] : [deadSince + tuning.deadKeepMs],
  );
  const times = [
    nextChoice(state, now),
    nextVerdict(state, now),
    state.probing.next(now) ?? Infinity,
    state.nextSampleAt,
    nextReport(state),
    ...dead,
    state.relay.quality.next(),
    ...[...directs.values()].map(({ quality }) => quality.next()),
  ];
  return Math.min(Infinity, ...times.filter((at) => at > now));
}
