import type { PathVerdict } from './io.ts';
import type { PathState } from './state.ts';
import { judge } from './verdict.ts';

/** Least time between two PathHellos. */
const HELLO_GAP_MS = 3_000;

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
  told.verdict = verdict;
  if (before && summary(before) === summary(verdict)) return;
  state.outbox.push({ type: 'verdict-changed', verdict });
  const { path, reason } = verdict;
  if (before?.path === path && before.reason === reason) return;
  state.count('path_verdict', reason ?? path);
}

/** When `report` has something that it held back. */
export function nextReport(state: PathState): number {
  return JSON.stringify(helloOf(state)) === state.told.hello ? Infinity : state.nextHelloAt;
}

function helloOf({ nat, isDenied, own }: PathState) {
  return { nat, directAllowed: !isDenied, candidates: own.length };
}

function summary({ path, reason, remote, remedy, nat }: PathVerdict): string {
  return JSON.stringify([path, reason, remote, remedy, nat]);
}
