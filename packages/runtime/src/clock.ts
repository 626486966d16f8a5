/** Time for the shells of sans-IO cores. Tests and simulations give one of their own. */
export interface Clock {
  /** Milliseconds; the same scale that the core's instants have. */
  now(): number;
  /** Calls back once at or after `at` on the same scale. Gives a function that takes the timer off. */
  setTimer(at: number, callback: () => void): () => void;
}

/** Node's longest timer; later instants are waited for in steps. */
const longestMs = 0x7fffffff;

/** A clock over Node's timers. `now` may be the wall clock; its jumps are noticed when a timer fires. */
function nodeClock(now: () => number): Clock {
  return {
    now,
    setTimer(at, callback) {
      let timer: NodeJS.Timeout;
      const arm = () => {
        const left = at - now();
        if (left > longestMs) timer = setTimeout(arm, longestMs);
        else timer = setTimeout(callback, Math.max(0, Math.ceil(left)));
      };
      arm();
      return () => clearTimeout(timer);
    },
  };
}

/** Never goes back; from an arbitrary start. */
export const monotonicClock: Clock = nodeClock(() => performance.now());

/** Milliseconds since 1970, for what certificates and grants say. Follows corrections of the system's clock. */
export const wallClock: Clock = nodeClock(() => Date.now());
