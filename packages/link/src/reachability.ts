import { createSocket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { formatHostPort, type HostPort, type IntermediateEntry } from '@ztna/wire';
import { type Resolver, resolveHost, systemResolver } from './resolve.ts';
import { instant, type Problem } from './status.ts';

/** Why no intermediate answers. */
export type UnreachableCode =
  | 'name-unresolved'
  | 'no-route'
  | 'intermediate-stopped'
  | 'not-listening'
  | 'udp-blocked'
  | 'intermediate-silent';
export type Unreachable = Problem & { readonly code: UnreachableCode };

/** How a connection to an intermediate ended that had worked. */
export interface Loss {
  readonly intermediate: string;
  readonly atMs: number;
  readonly reason: string;
  /** The intermediate said that it goes. */
  readonly stopped: boolean;
}

/** Who answers over UDP, while an intermediate does not: then UDP as such is not blocked. */
export interface Answering {
  readonly intermediates: number;
  /** On a direct path. */
  readonly sessions: number;
}

/** Whom to ask besides the network. */
export interface Asked {
  readonly answering?: () => Promise<Answering>;
  readonly resolver?: Resolver;
}

interface Place {
  readonly address: HostPort;
  readonly loss?: Loss | undefined;
}

const NOBODY: Answering = { intermediates: 0, sessions: 0 };
/** A resolver that takes longer is as good as none, ms. */
const RESOLVE_MS = 1_500;
/** Time for the machine of the intermediate to say that nothing listens there, ms. */
const REFUSED_MS = 500;

/**
 * Finds out why nothing came of connecting to these intermediates: their names, the way to them, the intermediates, or
 * what is on the way. Sends one byte to each address, and what `answering` does. Takes at most three seconds. `losses`: by
 * name, how connections ended that there were before.
 */
export async function whyUnreachable(
  entries: readonly IntermediateEntry[],
  losses: ReadonlyMap<string, Loss> = new Map(),
  { answering = async () => NOBODY, resolver = systemResolver }: Asked = {},
): Promise<Unreachable> {
  const others = answering();
  const places = entries.flatMap(({ name, addresses }) => addresses.map((place) => ({ name, place })));
  const found = await Promise.all(
    places.map(async ({ name, place }) =>
      (await lookUp(place, resolver)).map((address) => ({ address, loss: losses.get(name) })),
    ),
  );
  const known = found.flat();
  if (known.length === 0) return unresolved(places.map(({ place }) => place));
  const routes = await Promise.all(known.map(({ address }) => hasRoute(address)));
  const routed = known.filter((_, index) => routes[index]);
  if (routed.length === 0) return noRoute(known.map(({ address }) => address));
  return whySilent(routed, await others);
}

/**
 * Why nobody answers at addresses to which there is a route, as far as that can be known from here. `answering`: who else
 * is heard at the same time.
 */
export async function whySilent(
  places: readonly Place[],
  answering: Answering = NOBODY,
): Promise<Unreachable> {
  const [first] = places;
  if (first?.loss && places.every(({ loss }) => loss?.stopped)) return stopped(places, first.loss);
  const refused = await Promise.all(places.map(({ address, loss }) => loss?.stopped || isRefused(address)));
  const quiet = places.filter((_, index) => !refused[index]);
  return quiet.length === 0 ? notListening(places) : silent(quiet, answering);
}

/** Whether the machine at an address says that nothing listens there: ICMP port unreachable. */
function isRefused({ host, port }: HostPort): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4');
  const timer = setTimeout(() => resolve(false), REFUSED_MS);
  socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ECONNREFUSED'));
  socket.connect(port, host, (...outcome: unknown[]) => {
    // Not a QUIC packet: an intermediate that is there drops it.
    if (!outcome[0]) socket.send(Buffer.of(0), () => undefined);
  });
  return promise.finally(() => {
    clearTimeout(timer);
    socket.close();
  });
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

function stopped(places: readonly Place[], { intermediate, atMs }: Loss): Unreachable {
  return {
    code: 'intermediate-stopped',
    message: `intermediate ${intermediate} said at ${instant(atMs)} that it stops, and has not answered since (${listOf(places)})`,
    remedy: 'start it again, if nobody does already; its own log says who stopped it',
  };
}

function notListening(places: readonly Place[]): Unreachable {
  return {
    code: 'not-listening',
    message: `nothing listens at the address of the intermediate: its machine says so (${listOf(places)})`,
    remedy:
      'start the intermediate, and compare its port with the document that was signed; a firewall that rejects UDP looks the same',
  };
}

export function silent(places: readonly Place[], { intermediates, sessions }: Answering): Unreachable {
  const last = places.flatMap(({ loss }) => loss ?? []).toSorted((a, b) => b.atMs - a.atMs)[0];
  const message = `no answer over UDP from the intermediate (${listOf(places)})${last ? `, which was connected until ${instant(last.atMs)}` : ''}`;
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
    remedy: last
      ? 'look whether the intermediate and its machine run; if others reach it, look what became of UDP on the way: firewalls, this network'
      : 'let UDP to that address through every firewall on the way; if others reach it neither, look whether the intermediate runs',
  };
}

function count(number: number, what: string): string[] {
  return number === 0 ? [] : [`${number} ${what}${number === 1 ? ' answers' : 's answer'}`];
}

function listOf(places: readonly Place[]): string {
  return list(places.map(({ address }) => address));
}

function list(places: readonly HostPort[]): string {
  const shown = [...new Set(places.map(formatHostPort))];
  return shown.slice(0, 4).join(', ') + (shown.length > 4 ? ', …' : '');
}
