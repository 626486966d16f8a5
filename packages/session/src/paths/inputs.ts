import { unreachable } from '../types.ts';
import { MAX_REMOTE, readInterfaces, refused } from './candidates.ts';
import { close } from './closing.ts';
import type { AddressRefusal } from './filter.ts';
import type { PathInput, PathSample } from './io.ts';
import { formatSocketAddress, parseSocketAddress, type SocketAddress } from './ip.ts';
import { Quality } from './quality.ts';
import { type PathState, RELAY } from './state.ts';

/** Direct paths that are looked at; a peer that opens more has them closed. */
const MAX_PATHS = 32;

/** Writes down what happened; nothing is decided here but what must not be. */
export function take(state: PathState, input: PathInput, now: number): void {
  switch (input.type) {
    case 'local':
      state.sourcesChanged = true;
      state.interfaces = readInterfaces(input.addresses, input.port, state.settings, state.filter);
      return;
    case 'observed':
      state.sourcesChanged = true;
      return state.observations.set(input.by, parseSocketAddress(input.address ?? ''));
    case 'mapped':
      state.sourcesChanged = true;
      state.mapped = parseSocketAddress(input.address ?? '');
      return;
    case 'remote-candidates':
      state.sourcesChanged = true;
      state.offered = input.addresses.slice(0, MAX_REMOTE + 1);
      return;
    case 'path-opened':
      return onOpened(state, input.path, input.remote, now);
    case 'path-moved':
      return onMoved(state, input.path, input.remote, now);
    case 'path-closed':
      state.directs.delete(input.path);
      return;
    case 'path-dead':
      return onDead(state, input.path, now);
    case 'path-alive':
      return onAlive(state, input.path);
    case 'path-status':
      return onStatus(state, input.path, input.backup);
    case 'samples':
      return onSamples(state, input.samples, now);
    case 'relay-lost':
      state.relay.up = false;
      return;
    case 'relay-back':
      state.relay.up = true;
      state.relay.dead = false;
      return;
    case 'network-changed':
      return onNetworkChanged(state, now);
    case 'policy':
      return onPolicy(state, input, now);
    case 'peer-hello': {
      const { nat, directAllowed, candidates } = input;
      state.peer = { nat, directAllowed, candidates };
      return;
    }
    default:
      unreachable(input);
  }
}

function onOpened(state: PathState, id: number, remote: string, now: number): void {
  if (id === RELAY) return;
  const { address, why } = judge(state, remote);
  if (!address) state.outbox.push(refused('path', why));
  else if (state.isDenied) state.count('path_closed', 'denied');
  else if (state.directs.size >= MAX_PATHS) state.count('path_closed', 'too-many');
  else {
    state.directs.set(id, {
      id,
      remote: formatSocketAddress(address),
      family: address.ip.family,
      openedAt: now,
      quality: new Quality(state.tuning),
      deadSince: undefined,
      wasSlower: false,
      wasLossy: false,
      inUse: undefined,
    });
    state.nextSampleAt = now;
    return;
  }
  state.outbox.push({ type: 'close-path', path: id });
}

/** What was measured was measured on another way; what the other side may not have been asked to is closed. */
function onMoved(state: PathState, id: number, remote: string, now: number): void {
  const path = state.directs.get(id);
  if (!path) return;
  const { address, why } = judge(state, remote);
  if (!address) {
    state.outbox.push(refused('path', why));
    return close(state, path, 'refused');
  }
  path.remote = formatSocketAddress(address);
  path.family = address.ip.family;
  path.quality = new Quality(state.tuning);
  state.nextSampleAt = now;
}

type Judged =
  | { readonly address: SocketAddress; readonly why?: undefined }
  | { readonly address?: undefined; readonly why: AddressRefusal };

function judge({ filter, allowPrivate }: PathState, remote: string): Judged {
  const address = parseSocketAddress(remote);
  const why = address ? filter.refuses(address.ip, { allowPrivate }) : 'malformed';
  return address && why === undefined ? { address } : { why: why ?? 'malformed' };
}

function onDead(state: PathState, id: number, now: number): void {
  if (id === RELAY) {
    state.relay.dead = true;
    state.suspectRelay(now);
    return;
  }
  const path = state.directs.get(id);
  if (path?.deadSince !== undefined || !path) return;
  path.deadSince = now;
  path.wasLossy = false;
  state.hold.died(path.remote, now);
  state.count('path_died', path.family === 6 ? 'ipv6' : 'ipv4');
}

function onAlive(state: PathState, id: number): void {
  const path = state.directs.get(id);
  if (id === RELAY) state.relay.dead = false;
  else if (path) path.deadSince = undefined;
}

function onStatus(state: PathState, id: number, backup: boolean): void {
  const path = state.directs.get(id);
  if (path) path.inUse = backup ? undefined : ++state.orders;
}

function onSamples(state: PathState, samples: readonly PathSample[], now: number): void {
  state.rounds++;
  for (const sample of samples) {
    const quality = sample.path === RELAY ? state.relay.quality : state.directs.get(sample.path)?.quality;
    quality?.add(sample, now);
  }
}

function onNetworkChanged(state: PathState, now: number): void {
  state.startedAt = now;
  state.observations.markStale();
  state.sourcesChanged = true;
  state.hold.clear();
  state.relay.suspectUntil = 0;
  state.probing.refill(now);
  state.nextSampleAt = now;
  if (!state.mayProbe) return;
  if (state.direct) state.probing.once(now, 'network');
  else state.probing.restart(now, 'network');
}

function onPolicy(
  state: PathState,
  { direct, showPrivateAddresses }: PathState['policy'],
  now: number,
): void {
  if (direct !== state.policy.direct) state.startedAt = now;
  state.policy = { direct, showPrivateAddresses };
  state.sourcesChanged = true;
  for (const path of [...state.directs.values()]) {
    const ip = parseSocketAddress(path.remote)?.ip;
    if (ip && !state.filter.refuses(ip, { allowPrivate: state.allowPrivate })) continue;
    close(state, path, 'refused');
  }
}
