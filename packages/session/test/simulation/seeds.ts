/** Seeds that once failed, each with what they showed; replayed in every run. */
export const REGRESSION_SEEDS: readonly {
  readonly seed: number;
  readonly steps: number;
  /** With attackers; without them the random operations are others. */
  readonly hostile: boolean;
  readonly showed: string;
}[] = [
  {
    seed: 1497,
    steps: 120,
    hostile: false,
    showed: 'a rule installed for an agent while it was being forgotten',
  },
];
