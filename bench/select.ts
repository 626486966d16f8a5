import { nearest, UsageError } from '@ztna/runtime';
import { congestionNames } from './measurements/congestion.ts';
import { directNames } from './measurements/direct.ts';
import { moveNames } from './measurements/direct-moves.ts';
import { fairNames } from './measurements/fair.ts';
import { idleNames } from './measurements/idle.ts';
import { relayNames } from './measurements/relay.ts';
import { sessionNames } from './measurements/session.ts';
import { soakNames } from './measurements/soak.ts';

/** What needs network namespaces: with `--netlab` alone. */
export const netlabNames: readonly string[] = [...directNames, ...moveNames];

/** All that can be measured on loopback. */
export const names: readonly string[] = [
  ...relayNames,
  ...sessionNames,
  ...fairNames,
  ...idleNames,
  ...soakNames,
  ...congestionNames,
];

/** These take long, and run only when they are named in full. */
const byNameOnly: ReadonlySet<string> = new Set(soakNames);

/** Whether `name` is among `only`: names, or beginnings of names that end with `.` or `*`; empty means all. */
export function selects(only: readonly string[], name: string): boolean {
  const matches = (pattern: string) =>
    /[.*]$/.test(pattern) ? name.startsWith(pattern.replace(/\*$/, '')) : name === pattern;
  if (byNameOnly.has(name)) return only.includes(name);
  // Takes half an hour: by request only.
  if (only.length === 0) return !congestionNames.includes(name);
  return only.some(matches);
}

/** The patterns of `--only`, separated by commas. Throws a UsageError for one that stands for nothing. */
export function readOnly(values: readonly string[], netlab = false): readonly string[] {
  const only = values.flatMap((list) => list.split(',')).map((pattern) => pattern.trim());
  const [known, others] = netlab ? [netlabNames, names] : [names, netlabNames];
  for (const pattern of only) {
    const standsFor = (name: string) => selects([pattern], name);
    if (known.some(standsFor)) continue;
    if (others.some(standsFor)) throw elsewhere(pattern, netlab);
    const meant = nearest(pattern, known);
    const hint = meant === undefined ? '' : `did you mean ${meant}? `;
    throw new UsageError(
      `--only: nothing that is measured is called '${pattern}'`,
      `${hint}known are ${known.join(', ')}`,
    );
  }
  return only;
}

function elsewhere(pattern: string, netlab: boolean): UsageError {
  return netlab
    ? new UsageError(`--only: '${pattern}' is measured on loopback`, 'leave --netlab out')
    : new UsageError(`--only: '${pattern}' is measured between network namespaces`, 'add --netlab');
}
