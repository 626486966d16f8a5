// Fails when a boundary of the code base is crossed: see boundaries/rules.ts for the rules and their reasons.
import { join } from 'node:path';
import { checkBoundaries } from './boundaries/check.ts';
import { rules } from './boundaries/rules.ts';

const violations = checkBoundaries(process.argv[2] ?? join(import.meta.dirname, '..'));
for (const { rule, file, line, detail } of violations) {
  console.error(`${file}:${line} ${detail}\n  ${rule}: ${rules[rule]}`);
}
process.exit(violations.length > 0 ? 1 : 0);
