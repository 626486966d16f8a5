import type { VirtualTime } from '@ztna/sim';
import type { Core } from '../../src/types.ts';

/** A core in virtual time: inputs one after another, outputs carried out after each, one timer. */
export interface Driven<Input> {
  input(input: Input): void;
  stop(): void;
}

export function drive<Input, Output>(
  core: Core<Input, Output>,
  time: VirtualTime,
  carryOut: (output: Output) => void,
  settled: () => void,
): Driven<Input> {
  const queue: (() => void)[] = [];
  let running = false;
  let stopped = false;
  let cancelTimer = () => {};
  const run = () => {
    if (running) return;
    running = true;
    for (let step = queue.shift(); step && !stopped; step = queue.shift()) {
      step();
      for (let output = core.pollOutput(); output && !stopped; output = core.pollOutput()) carryOut(output);
    }
    running = false;
    if (stopped) return;
    settled();
    cancelTimer();
    const at = core.pollTimeout();
    if (at !== undefined) cancelTimer = time.at(at, () => push(() => core.handleTimeout(time.now)));
  };
  const push = (step: () => void) => {
    if (stopped) return;
    queue.push(step);
    run();
  };
  return {
    input: (input) => push(() => core.handleInput(input, time.now)),
    stop: () => {
      stopped = true;
      cancelTimer();
    },
  };
}
