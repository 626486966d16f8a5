import type { Logger } from '@ztna/runtime';
import { createLogger } from '@ztna/runtime/log';

export interface LogEntry {
  readonly level: string;
  readonly component: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

/** Everything that the components of a test say. A warning that nobody expects should fail the test. */
export class Logs {
  readonly entries: LogEntry[] = [];

  logger(component: string): Logger {
    const write = (line: string) => this.entries.push(JSON.parse(line) as LogEntry);
    return createLogger({ component, level: 'debug', format: 'json', sink: { write } });
  }

  /** Entries at warn and above, of one component or of all. */
  warnings(component?: string): readonly LogEntry[] {
    const loud = this.entries.filter(({ level }) => ['warn', 'error', 'fatal'].includes(level));
    return component === undefined ? loud : loud.filter((entry) => entry.component === component);
  }
}
