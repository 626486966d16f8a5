/** Seeds that once failed, each with what they showed; replayed in every run. */
export const REGRESSION_SEEDS: readonly { readonly seed: number; readonly showed: string }[] = [];
