import { defineConfig } from 'vitest/config';

// Projects, because they need opposite things: unit tests run side by side with short limits, end-to-end tests one
// after the other, since each starts processes of its own and some take the machine's ports. Scenarios of the
// network lab have networks of their own, and wait more than they work.
export default defineConfig({
  test: {
    // A file that hangs must not take the whole run with it.
    teardownTimeout: 10_000,
    projects: [
      {
        test: {
          name: 'unit',
          include: ['{apps,packages,native,tests,bench}/**/*.test.ts'],
          exclude: [
            '**/node_modules/**',
            '**/target/**',
            'tests/{e2e,hostile}/**',
            'tests/netlab/scenarios/**',
          ],
          testTimeout: 20_000,
          hookTimeout: 20_000,
        },
      },
      {
        test: {
          name: 'e2e',
          include: ['tests/{e2e,hostile}/**/*.test.ts'],
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
      {
        test: {
          name: 'netlab',
          include: ['tests/netlab/scenarios/*.test.ts'],
          exclude: process.env.ZTNA_NETLAB ? [] : ['**/*.long.test.ts'],
          testTimeout: 180_000,
          // They wait more than they work.
          maxWorkers: 2,
        },
      },
    ],
  },
});
