import { RuntimeFault } from '../faults.ts';

/** One thing that is wrong in a configuration file. */
export interface ConfigIssue {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  readonly column: number;
  /** `identity.privateKeyFile`. */
  readonly path: string;
  readonly message: string;
}

/** All that is wrong in one file. */
export class ConfigError extends RuntimeFault {
  readonly issues: readonly ConfigIssue[];

  constructor(issues: readonly ConfigIssue[], remedy?: string) {
    const sorted = issues.toSorted((a, b) => a.line - b.line || a.column - b.column);
    const lines = sorted.map(
      (i) => `  ${i.file}:${i.line}:${i.column}: ${i.path === '' ? '' : `${i.path}: `}${i.message}`,
    );
    const count =
      sorted.length === 1
        ? 'the configuration is wrong'
        : `${sorted.length} things are wrong in the configuration`;
    super({
      code: 'config-invalid',
      fault: 'config',
      message: `${count}\n${lines.join('\n')}`,
      ...(remedy !== undefined && { remedy }),
    });
    this.issues = sorted;
  }
}
