import type { PathVerdict } from './io.ts';
import type { PathState } from './state.ts';
import { judge } from './verdict.ts';

/** Least time between two PathHellos. */
const HELLO_GAP_MS = 3_000;
/** Verdicts told within a minute: a peer can change them ten times a second, and each is a line in the log. */
const VERDICTS_PER_MINUTE = 12;
const MINUTE_MS = 60_000;

/** Tells flows, the peer and people what changed. */
export function report(state: PathState, now: number): void {
  const { told, policy, direct } = state;
  if (policy.direct !== 'require' || direct) state.requiredSince = undefined;
  else state.requiredSince ??= now;
  const may = policy.direct !== 'require' || direct !== undefined;
  if (may !== told.flows) state.outbox.push({ type: 'flows', may });
  told.flows = may;

  const hello = helloOf(state);
  const text = JSON.stringify(hello);
  if (text !== told.hello && now >= state.nextHelloAt) {
    state.outbox.push({ type: 'hello', ...hello });
    told.hello = text;
    state.nextHelloAt = now + HELLO_GAP_MS;
  }

  const verdict = judge(state, now);
  const before = told.verdict;
  told.nextVerdictAt = undefined;
  if (before && summary(before) === summary(verdict)) {
    told.verdict = verdict;
    return;
  }
  told.verdictTimes = told.verdictTimes.filter((at) => at > now - MINUTE_MS);
  const [first] = told.verdictTimes;
  if (first !== undefined && told.verdictTimes.length >= VERDICTS_PER_MINUTE) {
    told.nextVerdictAt = first + MINUTE_MS;
    return;
  }
  told.verdictTimes.push(now);
  told.verdict = verdict;
  state.outbox.push({ type: 'verdict-changed', verdict });
  const { path, reason } = verdict;
  if (before?.path === path && before.reason === reason) return;
  state.count('path_verdict', reason ?? path);
}

/** When `report` has something that it held back. */
export function nextReport(state: PathState): number {
  const hello = JSON.stringify(helloOf(state)) === state.told.hello ? Infinity : state.nextHelloAt;
  return Math.min(hello, state.told.nextVerdictAt ?? Infinity);
}

function helloOf({ nat, isDenied, own }: PathState) {
  return { nat, directAllowed: !isDenied, candidates: own.length };
}

function summary({ path, reason, remote, remedy, nat }: PathVerdict): string {
  return JSON.stringify([path, reason, remote, remedy, nat]);
}
