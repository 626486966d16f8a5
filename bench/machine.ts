import { readFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { realtime } from './process.ts';

/** Where and how the figures were taken. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGb: number;
  readonly kernel: string;
  readonly node: string;
  /** Build profile of the addon that was measured. */
  readonly addon: string;
  /** `chrt -r 1` for every measured process, or the system's default. */
  readonly scheduling: string;
  /** Load average over a minute at the start: figures of a busy machine are lower bounds. */
  readonly load: number;
  readonly date: string;
}

export function describeMachine(): Machine {
  const all = cpus();
  return {
    cpu: all[0]?.model.trim() ?? 'unknown',
    cores: all.length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    addon: addonProfile(),
    scheduling: realtime ? 'round-robin real time (chrt -r 1)' : 'default',
    load: Math.round((loadavg()[0] ?? 0) * 10) / 10,
    date: new Date().toISOString(),
  };
}

/** As scripts/build-native.ts noted it. */
function addonProfile(): string {
  try {
    const stamp = join(import.meta.dirname, '../node_modules/.cache/ztna/native.stamp');
    return readFileSync(stamp, 'utf8').split(' ')[0] ?? 'unknown';
  } catch {
    return 'unknown';
  }
}
