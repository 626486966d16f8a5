import { congestionNames, measureCongestion } from './congestion.ts';
import type { BenchContext } from './context.ts';
import { directNames, measureDirect } from './direct.ts';
import { measureMoves, moveNames } from './direct-moves.ts';
import { fairNames, measureFair } from './fair.ts';
import { idleNames, measureIdle } from './idle.ts';
import type { Plain } from './plain.ts';
import { measureRelay, relayNames } from './relay.ts';
import { measureSession, sessionNames } from './session.ts';
import { measureSoak, soakNames } from './soak.ts';

/** Figures that one file measures. */
export interface Group {
  readonly names: readonly string[];
  readonly measure: (context: BenchContext, plain: Plain) => Promise<void>;
  /** Takes long, and runs only when it is asked for: by its full name, or by a beginning of it as well. */
  readonly byRequest?: 'name' | 'prefix';
}

/** What is measured on loopback, in this order. */
export const loopbackGroups: readonly Group[] = [
  { names: relayNames, measure: measureRelay },
  { names: sessionNames, measure: measureSession },
  { names: fairNames, measure: measureFair },
  { names: idleNames, measure: measureIdle },
  { names: congestionNames, measure: measureCongestion, byRequest: 'prefix' },
  { names: soakNames, measure: measureSoak, byRequest: 'name' },
];

/** What needs network namespaces: with `--netlab` alone. */
export const netlabGroups: readonly Group[] = [
  { names: directNames, measure: measureDirect },
  { names: moveNames, measure: measureMoves },
];
