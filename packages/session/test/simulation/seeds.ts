/** Seeds that once failed, each with what they showed; replayed in every run. */
export const REGRESSION_SEEDS: readonly {
  readonly seed: number;
  readonly steps: number;
  readonly showed: string;
}[] = [{ seed: 1497, steps: 120, showed: 'a rule installed for an agent while it was being forgotten' }];
