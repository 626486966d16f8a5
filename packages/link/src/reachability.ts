import { createSocket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { formatHostPort, type HostPort, type IntermediateEntry } from '@ztna/wire';
import { type Resolver, resolveHost, systemResolver } from './resolve.ts';
import type { Problem } from './status.ts';

/** Why no intermediate answers. */
export type UnreachableCode = 'name-unresolved' | 'no-route' | 'udp-blocked' | 'intermediate-silent';
export type Unreachable = Problem & { readonly code: UnreachableCode };

/** Who answers over UDP, while an intermediate does not: then UDP as such is not blocked. */
export interface Answering {
  readonly intermediates: number;
  /** On a direct path. */
  readonly sessions: number;
}

const NOBODY: Answering = { intermediates: 0, sessions: 0 };
/** A resolver that takes longer is as good as none, ms. */
const RESOLVE_MS = 1_500;

/**
 * Finds out why nothing came of connecting to these intermediates: their names, the way to them, or what is on the way.
 * Sends nothing but what `answering` does. Takes at most two seconds.
 */
export async function whyUnreachable(
  entries: readonly IntermediateEntry[],
  answering: () => Promise<Answering> = async () => NOBODY,
  resolver: Resolver = systemResolver,
): Promise<Unreachable> {
  const places = entries.flatMap(({ addresses }) => addresses);
  const lookingUp = Promise.all(places.map((place) => lookUp(place, resolver)));
  const [found, others] = await Promise.all([lookingUp, answering()]);
  const known = found.flat();
  if (known.length === 0) return unresolved(places);
  const routes = await Promise.all(known.map(hasRoute));
  const routed = known.filter((_, index) => routes[index]);
  return routed.length === 0 ? noRoute(known) : silent(routed, others);
}

/** Whether the system knows a way to an address: it would choose one now, without sending anything. */
export function hasRoute({ host, port }: HostPort): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4');
  socket.on('error', () => resolve(false));
  // Also told of an error, which the types do not say.
  socket.connect(port, host, (...outcome: unknown[]) => resolve(!outcome[0]));
  return promise.finally(() => socket.close());
}

/** The addresses of one place; none when its name cannot be resolved in time. */
export async function lookUp(
  { host, port }: HostPort,
  resolver: Resolver = systemResolver,
): Promise<HostPort[]> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<string[]>((resolve) => {
    timer = setTimeout(() => resolve([]), RESOLVE_MS);
  });
  const hosts = await Promise.race([resolveHost(host, resolver).catch(() => []), late]);
  clearTimeout(timer);
  return hosts.map((found) => ({ host: found, port }));
}

export function unresolved(places: readonly HostPort[]): Unreachable {
  return {
    code: 'name-unresolved',
    message: `the name of the intermediate cannot be resolved (${list(places)})`,
    remedy: 'check the network and DNS of this machine, and the address in the document that was signed',
  };
}

export function noRoute(places: readonly HostPort[]): Unreachable {
  return {
    code: 'no-route',
    message: `this machine has no route to the intermediate (${list(places)})`,
    remedy: 'check that the network is up and has a default route',
  };
}

/** `answering`: who else is heard at the same time. */
export function silent(places: readonly HostPort[], answering: Answering = NOBODY): Unreachable {
  const message = `no answer over UDP from the intermediate (${list(places)})`;
  const { intermediates, sessions } = answering;
  if (intermediates + sessions > 0) {
    const others = [count(intermediates, 'other intermediate'), count(sessions, 'direct session')];
    return {
      code: 'intermediate-silent',
      message: `${message}, while UDP works: ${others.flat().join(', ')}`,
      remedy:
        'look whether the intermediate runs, and whether a firewall lets UDP to that address through; sessions on direct paths go on meanwhile, new ones need an intermediate',
    };
  }
  return {
    code: 'udp-blocked',
    message,
    remedy:
      'let UDP to that address through every firewall on the way; if others reach it neither, look whether the intermediate runs',
  };
}

function count(number: number, what: string): string[] {
  return number === 0 ? [] : [`${number} ${what}${number === 1 ? ' answers' : 's answer'}`];
}

function list(places: readonly HostPort[]): string {
  const shown = [...new Set(places.map(formatHostPort))];
  return shown.slice(0, 4).join(', ') + (shown.length > 4 ? ', …' : '');
}
