import { expect, test } from 'vitest';
import { type CoreShell, runCore, type SansIoCore } from './core-shell.ts';
import { VirtualClock } from './virtual-clock.ts';

/** Repeats each input at once and 100 ms later. */
class Echo implements SansIoCore<string, string> {
  #out: string[] = [];
  #later: { at: number; text: string }[] = [];

  handleInput(text: string, now: number): void {
    if (text === 'bug') throw new Error('bug');
    this.#out.push(`${now} ${text}`, `${now} ${text}!`);
    this.#later.push({ at: now + 100, text });
  }
  handleTimeout(now: number): void {
    for (const { text } of this.#later.filter((l) => l.at <= now)) this.#out.push(`${now} again ${text}`);
    this.#later = this.#later.filter((l) => l.at > now);
  }
  pollTimeout(): number | undefined {
    return this.#later[0]?.at;
  }
  pollOutput(): string | undefined {
    return this.#out.shift();
  }
}

test('inputs and timeouts lead to outputs at their time', () => {
  const { clock, outputs, shell } = start();
  shell.input('a');
  clock.advance(50);
  shell.input('b');
  clock.advance(1000);
  expect(outputs).toEqual(['0 a', '0 a!', '50 b', '50 b!', '100 again a', '150 again b']);
});

test('an input from within an output waits until the outputs before it are done', () => {
  const { outputs, shell } = start((output, again) => {
    if (output === '0 a') again('b');
  });
  shell.input('a');
  expect(outputs).toEqual(['0 a', '0 a!', '0 b', '0 b!']);
});

test('after close nothing happens any more', () => {
  const { clock, outputs, shell } = start();
  shell.input('a');
  outputs.length = 0;
  shell.close();
  shell.input('b');
  clock.advance(1000);
  expect(outputs).toEqual([]);
});

test('a bug in the core closes the shell and is told once', () => {
  const { clock, outputs, errors, shell } = start();
  shell.input('a');
  shell.input('bug');
  outputs.length = 0;
  shell.input('b');
  clock.advance(1000);
  expect(errors).toEqual([new Error('bug')]);
  expect(outputs).toEqual([]);
});

function start(onOutput?: (output: string, again: (text: string) => void) => void) {
  const clock = new VirtualClock();
  const outputs: string[] = [];
  const errors: unknown[] = [];
  const shell: CoreShell<string> = runCore(new Echo(), {
    now: () => clock.now(),
    setTimer: (at, callback) => clock.setTimer(at, callback),
    onOutput(output) {
      onOutput?.(output, (text) => shell.input(text));
      outputs.push(output);
    },
    onError: (error) => errors.push(error),
  });
  return { clock, outputs, errors, shell };
}
