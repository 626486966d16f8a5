import { defineConfig } from 'vitest/config';

// Projects, because their limits differ: end-to-end tests start processes of their own, scenarios of the network lab
// networks of their own. All wait about as much as they work, so two files at a time, also on two cores.
const maxWorkers = 2;

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
          maxWorkers,
          testTimeout: 20_000,
          hookTimeout: 20_000,
        },
      },
      {
        test: {
          name: 'e2e',
          include: ['tests/{e2e,hostile}/**/*.test.ts'],
          maxWorkers,
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
          maxWorkers,
        },
      },
    ],
  },
});
