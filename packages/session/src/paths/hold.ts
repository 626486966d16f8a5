import type { PathTuning } from './io.ts';

const MINUTE = 60_000;
/** Addresses whose history is kept; the one that was quiet longest goes first. */
const MAX_HISTORIES = 32;

interface History {
  deaths: number[];
  level: number;
  until: number;
  last: number;
}

/**
 * Against flapping: an address whose path died twice within a minute, or was left because it was bad, is not
 * taken again for a while; for twice as long each time.
 */
export class HoldDown {
  readonly #tuning: PathTuning;
  readonly #histories = new Map<string, History>();

  constructor(tuning: PathTuning) {
    this.#tuning = tuning;
  }

  died(remote: string, now: number): void {
    const history = this.#history(remote, now);
    history.deaths = [...history.deaths.filter((at) => at > now - MINUTE), now].slice(-8);
    if (history.deaths.length >= 2) this.#hold(history, now);
  }

  left(remote: string, now: number): void {
    this.#hold(this.#history(remote, now), now);
  }

  isHeld(remote: string, now: number): boolean {
    return (this.#histories.get(remote)?.until ?? 0) > now;
  }

  /** Whether any address had trouble within the last minute or is held. */
  isTroubled(now: number): boolean {
    return [...this.#histories.values()].some(({ last, until }) => until > now || last > now - MINUTE);
  }

  /** When something is held no longer, or a minute of quiet is over; only times after `now`. */
  next(now: number): number {
    const times = [...this.#histories.values()].flatMap(({ until, last }) => [until, last + MINUTE]);
    return Math.min(Infinity, ...times.filter((at) => at > now));
  }

  /** Another network: what was learned of the old one counts no more. */
  clear(): void {
    this.#histories.clear();
  }

  #history(remote: string, now: number): History {
    const known = this.#histories.get(remote);
    const fresh = { deaths: [], level: 0, until: 0, last: now };
    const history = known && now - known.last < this.#tuning.holdForgetMs ? known : fresh;
    history.last = now;
    this.#histories.delete(remote);
    this.#histories.set(remote, history);
    const [quietest] = this.#histories.keys();
    if (this.#histories.size > MAX_HISTORIES && quietest !== undefined) this.#histories.delete(quietest);
    return history;
  }

  #hold(history: History, now: number): void {
    const { holdBaseMs, holdMaxMs } = this.#tuning;
    history.until = now + Math.min(holdMaxMs, holdBaseMs * 2 ** Math.min(history.level++, 20));
  }
}
