import type { Blast } from './load.ts';

/** Share of datagrams that may be lost at a rate that counts as carried. */
export const TOLERATED_LOSS = 0.01;
/** A generator that offers less than this share of what it was asked is the limit itself. */
export const OFFERED = 0.97;
const STEP_UP = 1.6;
/** The bracket is narrowed to this ratio. */
const CLOSE_ENOUGH = 1.05;

export interface Trial {
  /** Datagrams per second that were asked for. */
  readonly rate: number;
  /** Datagrams per second that arrived. */
  readonly carried: number;
  readonly loss: number;
  readonly blast: Blast;
  readonly verdict: 'carried' | 'lost' | 'generator';
}

export interface Found {
  /** Highest carried rate of each repetition. */
  readonly samples: readonly number[];
  readonly best: Trial;
  /** What stopped the search: the system under test, the generator, or the bound of the search. */
  readonly limit: 'loss' | 'generator' | 'bound';
}

export interface SearchOptions {
  readonly start: number;
  readonly max: number;
  readonly repeat: number;
}

/**
 * Highest rate at which less than 1 % is lost: a ramp, then bisection, then repetitions that start just above
 * and go down until they pass.
 * @throws Error when not even a tiny rate is carried.
 */
export async function highestRate(
  run: (rate: number) => Promise<Blast>,
  options: SearchOptions,
): Promise<Found> {
  let best: Trial | undefined;
  let high: Trial | undefined;
  const attempt = async (rate: number) => {
    const trial = judge(rate, await run(rate));
    if (trial.verdict === 'carried') best = best && best.carried > trial.carried ? best : trial;
    else high = trial;
    return trial;
  };
  let rate = options.start;
  while (high === undefined && rate <= options.max) {
    await attempt(rate);
    rate *= STEP_UP;
  }
  for (rate = options.start / 2; best === undefined; rate /= 2) {
    if (rate < 100) throw new Error('not even 100 datagrams a second are carried');
    await attempt(rate);
  }
  while (high !== undefined && high.rate / best.rate > CLOSE_ENOUGH)
    await attempt(Math.sqrt(high.rate * best.rate));
  const limit = high === undefined ? 'bound' : high.verdict === 'generator' ? 'generator' : 'loss';
  const samples: number[] = [];
  for (let i = 0; i < options.repeat; i++) samples.push(await confirm(run, best.rate * CLOSE_ENOUGH));
  return { samples, best, limit };
}

async function confirm(run: (rate: number) => Promise<Blast>, from: number): Promise<number> {
  for (let rate = from; rate > from / 8; rate *= 0.94) {
    const trial = judge(rate, await run(rate));
    if (trial.verdict === 'carried') return trial.carried;
  }
  return 0;
}

export function judge(rate: number, blast: Blast): Trial {
  const loss = 1 - blast.received / Math.max(1, blast.sent);
  const offered = blast.sent / blast.seconds >= rate * OFFERED;
  const verdict = loss >= TOLERATED_LOSS ? 'lost' : offered ? 'carried' : 'generator';
  return { rate, carried: blast.received / blast.seconds, loss, blast, verdict };
}
