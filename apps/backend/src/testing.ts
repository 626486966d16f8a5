import { createLogger } from '@ztna/runtime/log';

/** A logger for tests: what it would print is an error of the test. */
export const quiet = createLogger({
  component: 'backend',
  level: 'warn',
  format: 'json',
  sink: {
    write(line) {
      throw new Error(`unexpected log entry: ${line}`);
    },
  },
});
