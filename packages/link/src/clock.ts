import { type Clock, wallClock } from '@ztna/runtime';

/** Milliseconds since the Unix epoch that never go back, as the session cores ask for. */
export function coreClock(): Clock {
  let last = 0;
  return {
    now() {
      last = Math.max(last, wallClock.now());
      return last;
    },
    setTimer: (at, callback) => wallClock.setTimer(at, callback),
  };
}
