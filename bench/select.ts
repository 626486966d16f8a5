import { nearest, UsageError } from '@ztna/runtime';
import { type Group, loopbackGroups, netlabGroups } from './measurements/index.ts';

const namesOf = (groups: readonly Group[]) => groups.flatMap(({ names }) => names);

export const netlabNames: readonly string[] = namesOf(netlabGroups);

/** All that can be measured on loopback. */
export const names: readonly string[] = namesOf(loopbackGroups);

/** Whether `name` is among `only`: names, or beginnings of names that end with `.` or `*`; empty means all. */
export function selects(only: readonly string[], name: string): boolean {
  const matches = (pattern: string) =>
    /[.*]$/.test(pattern) ? name.startsWith(pattern.replace(/\*$/, '')) : name === pattern;
  const { byRequest } = loopbackGroups.find((group) => group.names.includes(name)) ?? {};
  if (byRequest === 'name') return only.includes(name);
  if (only.length === 0) return byRequest === undefined;
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
