// Skips that are accepted where CI=true. Everywhere else a skip is only listed, there it is a failure:
// a test that silently stops running protects nothing.
import type { AllowedSkip } from './report.ts';

export const allowedSkips: readonly AllowedSkip[] = [];
