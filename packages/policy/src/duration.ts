import { fail, ok, type Result } from '@ztna/wire';

const UNIT_MS = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** Milliseconds of `30s`, `15m`, `24h` or `14d`; whole, positive numbers only. */
export function parseDuration(text: string): Result<number> {
  const match = /^([0-9]{1,6})([smhd])$/.exec(text);
  const milliseconds = Number(match?.[1]) * UNIT_MS[(match?.[2] ?? 's') as keyof typeof UNIT_MS];
  if (match === null || milliseconds === 0) {
    return fail('invalid', 'duration', 'must be a positive number and s, m, h or d, e.g. 24h');
  }
  return ok(milliseconds);
}
