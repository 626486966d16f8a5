// The tiers of `npm test`, in order: cheap and telling first. Each is one or more steps; see steps.ts.
import type { Step } from './steps.ts';

export interface Tier {
  readonly name: string;
  /** What it should take on two cores without compiling. Far over it is a failure: see budgetFactor. */
  readonly budgetSeconds: number;
  readonly steps: readonly Step[];
  /** Only with `--all` (or by name). */
  readonly extra?: true;
}

// Rust tests use the development profile: overflow checks and debug assertions are on, and a change
// is linked in seconds. The release addon that ./ztna builds is what the TypeScript tests run on.
const cargo = (name: string, args: string[], extra: Partial<Step> = {}): Step => ({
  name,
  command: ['cargo', ...args],
  folder: 'native',
  needs: 'native/Cargo.toml',
  ...extra,
});

export const tiers: readonly Tier[] = [
  {
    name: 'lint',
    budgetSeconds: 10,
    steps: [{ name: 'biome', command: ['biome', 'ci', '--error-on-warnings', '.'] }],
  },
  { name: 'typecheck', budgetSeconds: 15, steps: [{ name: 'tsc', command: ['tsc', '--noEmit', '-p', '.'] }] },
  {
    name: 'boundaries',
    budgetSeconds: 5,
    steps: [{ name: 'boundaries', command: ['node', 'scripts/boundaries.ts'] }],
  },
  {
    name: 'generated',
    budgetSeconds: 10,
    steps: [
      { name: 'protobuf lint', command: ['buf', 'lint'], folder: 'proto' },
      { name: 'protobuf code', command: ['node', 'scripts/generate.ts', '--check'] },
      { name: 'addon types', command: ['node', 'scripts/build-native.ts', '--check-types'] },
      {
        name: 'JSON Schemas',
        command: ['node', 'scripts/schemas.ts', '--check'],
        needs: 'scripts/schemas.ts',
      },
    ],
  },
  { name: 'unit', budgetSeconds: 90, steps: [{ name: 'vitest unit', vitest: 'unit' }] },
  {
    name: 'rust',
    budgetSeconds: 60,
    steps: [
      cargo('cargo fmt', ['fmt', '--all', '--check']),
      cargo('cargo clippy', ['clippy', '--workspace', '--all-targets', '--locked', '--', '-D', 'warnings'], {
        compiles: true,
      }),
      cargo('cargo test (build)', ['test', '--workspace', '--locked', '--no-run'], { compiles: true }),
      // They wait more than they work.
      cargo('cargo test', ['test', '--workspace', '--locked', '--no-fail-fast', '--', '--test-threads=4'], {
        counts: 'cargo',
      }),
    ],
  },
  { name: 'e2e', budgetSeconds: 180, steps: [{ name: 'vitest e2e', vitest: 'e2e' }] },
  {
    name: 'netlab',
    budgetSeconds: 240,
    steps: [
      {
        name: 'links with delay (build)',
        command: ['node', 'tests/netlab/lab/bridge-program.ts'],
        compiles: true,
      },
      { name: 'vitest netlab', vitest: 'netlab' },
    ],
  },
];
