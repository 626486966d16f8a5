import type { Clock } from './clock.ts';

/** Protocol logic without IO: it is told what came in and what time it is, and asked what to do. */
export interface SansIoCore<Input, Output> {
  handleInput(input: Input, now: number): void;
  handleTimeout(now: number): void;
  /** When `handleTimeout` wants to be called next; undefined for never. */
  pollTimeout(): number | undefined;
  /** The next thing to do; undefined when there is none. */
  pollOutput(): Output | undefined;
}

/** A core with time and hands. */
export interface CoreShell<Input> {
  /** Gives the core an input and carries out what it asks for. May be called from within `onOutput`. */
  input(input: Input): void;
  /** Carries out what is pending; for when the core was changed by other means. */
  wake(): void;
  /** Takes the timer off; later inputs are dropped. */
  close(): void;
}

export interface CoreShellOptions<Output> extends Clock {
  /** Carries out one output. */
  readonly onOutput: (output: Output) => void;
  /** The core or `onOutput` threw, which is a bug: the shell is closed. Without it the error is thrown on. */
  readonly onError?: (error: unknown) => void;
}

/**
 * Drives a core: inputs and timeouts go in one after another, and after each all outputs are carried out in
 * order. An input that arrives while outputs are carried out waits until they are done.
 */
export function runCore<Input, Output>(
  core: SansIoCore<Input, Output>,
  options: CoreShellOptions<Output>,
): CoreShell<Input> {
  const pending: (() => void)[] = [];
  let running = false;
  let closed = false;
  let armedFor: number | undefined;
  let disarm: (() => void) | undefined;

  const close = () => {
    closed = true;
    pending.length = 0;
    disarm?.();
    disarm = undefined;
  };

  const drain = () => {
    if (running) return;
    running = true;
    try {
      while (!closed) {
        const output = core.pollOutput();
        if (output !== undefined) {
          options.onOutput(output);
          continue;
        }
        const step = pending.shift();
        if (!step) break;
        step();
      }
      arm();
    } catch (error) {
      close();
      if (!options.onError) throw error;
      options.onError(error);
    } finally {
      running = false;
    }
  };

  const arm = () => {
    const at = closed ? undefined : core.pollTimeout();
    if (at === armedFor && disarm) return;
    disarm?.();
    armedFor = at;
    disarm = at === undefined ? undefined : options.setTimer(at, onTimer);
  };

  const onTimer = () => {
    disarm = undefined;
    run(() => core.handleTimeout(options.now()));
  };

  const run = (step: () => void) => {
    if (closed) return;
    pending.push(step);
    drain();
  };

  drain();
  return { input: (input) => run(() => core.handleInput(input, options.now())), wake: drain, close };
}
