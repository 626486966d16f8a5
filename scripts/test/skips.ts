// Skips that are accepted where CI=true. Everywhere else a skip is only listed, there it is a failure:
// a test that silently stops running protects nothing.
import type { Skip } from './steps.ts';

interface Allowed {
  /** Part of the test's full name. */
  readonly test: string;
  /** Why CI cannot run it, and where it is run instead. */
  readonly reason: string;
}

export const allowedSkips: readonly Allowed[] = [];

export function isAllowed(skip: Skip, list: readonly Allowed[] = allowedSkips): boolean {
  return list.some(({ test }) => skip.test.includes(test));
}
