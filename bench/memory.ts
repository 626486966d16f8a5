import { readdirSync, readFileSync } from 'node:fs';

/** What JavaScript of a process holds after a collection, bytes (`probe.ts`, `relay-role.ts`). */
export interface HeapUse {
  readonly heapUsed: number;
  readonly external: number;
}

/**
 * Memory that a process has written to and nobody else can use, KB (`RssAnon`: no code, no mapped file).
 * @throws Error when the process is gone or the system does not tell.
 */
export function ownMemoryKb(pid: number): number {
  const kb = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  if (kb === undefined) throw new Error(`/proc/${pid}/status does not tell RssAnon`);
  return Number(kb);
}

/** Open files, sockets and pipes of a process. */
export function descriptors(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** Least-squares slope of `y` over `x`. NaN for fewer than two different `x`. */
export function slope(points: readonly (readonly [x: number, y: number])[]): number {
  const n = points.length;
  const meanX = points.reduce((sum, [x]) => sum + x, 0) / n;
  const meanY = points.reduce((sum, [, y]) => sum + y, 0) / n;
  const covariance = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0);
  const variance = points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  return covariance / variance;
}
