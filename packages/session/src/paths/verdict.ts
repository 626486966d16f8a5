import type { PathReason, PathVerdict } from './io.ts';
import type { PathState } from './state.ts';

/** How the session travels now. Figures are of the newest samples. */
export function judge(state: PathState, now: number): PathVerdict {
  const { path, reason } = situation(state, now);
  const { direct, told, peer, nat } = state;
  const remote = path === 'direct' ? direct?.remote : undefined;
  const before = told.verdict;
  const isSame = before?.path === path && before.reason === reason && before.remote === remote;
  const quality = direct ? direct.quality : state.relay.quality;
  const { rttMs, mtu } = quality;
  const loss = quality.loss(now);
  return {
    path,
    since: isSame ? before.since : now,
    ...(remote !== undefined && { remote }),
    ...(reason !== undefined && { reason }),
    remedy: reason === undefined ? '' : remedyFor(reason, state),
    nat: { own: nat, ...(peer && { peer: peer.nat }) },
    ...(rttMs !== undefined && { rttMs }),
    ...(loss !== undefined && { loss }),
    ...(mtu !== undefined && { mtu }),
  };
}

/** When `judge` may come to something else by time alone. */
export function nextVerdict({ tuning, probing, startedAt, requiredSince }: PathState, now: number): number {
  const times = [startedAt, probing.startedAt]
    .filter((at) => at !== undefined)
    .map((at) => at + tuning.probeWaitMs);
  if (requiredSince !== undefined) times.push(requiredSince + tuning.requireDeadlineMs);
  return Math.min(Infinity, ...times.filter((at) => at > now));
}

function situation(state: PathState, now: number): { path: PathVerdict['path']; reason?: PathReason } {
  const { direct, policy, settings, tuning, requiredSince } = state;
  if (direct) return { path: 'direct' };
  if (!settings.enabled) {
    return policy.direct === 'require' ? { path: 'none', reason: 'disabled' } : relayed(state, 'disabled');
  }
  if (policy.direct === 'deny') return relayed(state, 'policy');
  const reason = whyNotDirect(state, now);
  if (policy.direct === 'allow') return relayed(state, reason);
  const isOver = now - (requiredSince ?? now) >= tuning.requireDeadlineMs;
  return { path: isOver ? 'none' : 'waiting', reason };
}

function relayed(state: PathState, reason: PathReason): { path: PathVerdict['path']; reason: PathReason } {
  return state.isRelayUsable ? { path: 'relayed', reason } : { path: 'none', reason: 'no-path' };
}

/** Only what this side can know. A blocked network and a firewall look the same as a NAT that lets nothing in. */
function whyNotDirect(state: PathState, now: number): PathReason {
  const { own, remote, peer, side, probing, nat, tuning } = state;
  const isNew = now - (state.startedAt ?? now) < tuning.probeWaitMs;
  if (peer && !peer.directAllowed) return 'peer-policy';
  const living = state.living();
  if (living.length > 0) {
    if (living.every((path) => state.hold.isHeld(path.remote, now))) return 'unstable';
    if (side === 'connector') return isNew ? 'starting' : 'agent-decides';
    return living.some(({ quality }) => quality.rttMs !== undefined) ? 'worse-than-relay' : 'starting';
  }
  if (state.hold.isTroubled(now)) return 'unstable';
  if (own.length === 0) return isNew ? 'starting' : 'no-candidates';
  const peerShowsNone = side === 'agent' ? remote.length === 0 : peer?.candidates === 0;
  if (peerShowsNone) return isNew ? 'starting' : 'no-peer-candidates';
  if (isNew) return 'starting';
  if (side === 'agent' && now - (probing.startedAt ?? now) < tuning.probeWaitMs) return 'starting';
  if (nat === 'destination-dependent' && peer?.nat === nat) return 'symmetric-nat-both-sides';
  if (nat === 'none' || peer?.nat === 'none') return 'udp-blocked';
  return 'probe-timed-out';
}

const REMEDIES: Readonly<Record<Exclude<PathReason, 'udp-blocked' | 'probe-timed-out'>, string>> = {
  starting: '',
  policy:
    'The policy denies direct paths for a service of this session (direct: deny). Change it if that is not meant.',
  disabled: 'Direct paths are switched off here. Set direct.enabled to true and restart.',
  'peer-policy':
    'The other side may not use direct paths: look at its policy and at direct.enabled in its configuration.',
  'no-candidates':
    'This side has no address to show. Look at direct.interfaces, announce one in direct.addresses, or, for a connector in the same network as its agents, set showPrivateAddresses for its site.',
  'no-peer-candidates':
    'The other side shows no address. If it is a connector in the same network, set showPrivateAddresses for its site; else announce one in its direct.addresses. A version without direct paths shows none either.',
  'symmetric-nat-both-sides':
    'Both sides are behind a NAT that gives every destination another port. One open UDP port helps: forward one to the connector and announce it in its direct.addresses, let its router map one (direct.portMapping), or give both sides IPv6.',
  'worse-than-relay':
    'A direct path is there, but slower or losing more than the relay. Nothing to do; it is watched.',
  'agent-decides':
    'A direct path is there, and the agent, which decides, uses the relay. Look at the reason in `ztna status` on its machine.',
  unstable:
    'The direct path broke or lost packets lately. It is tried again by itself, at growing intervals.',
  'no-path': 'Neither an intermediate nor the other side is reached: check the network of this machine.',
};

function remedyFor(reason: PathReason, { side, nat, peer }: PathState): string {
  const connector = side === 'connector' ? nat : peer?.nat;
  switch (reason) {
    case 'udp-blocked':
      return connector === 'none'
        ? 'The connector has a public address, but no packet of the other side came through. Give it a fixed port (listen) and open that UDP port for incoming packets in its firewall or security group. If the agents reach it from private addresses, set showPrivateAddresses for its site: else it does not hear them.'
        : 'The agent has a public address, but no packet came through. A firewall in between lets UDP out to few destinations only: allow UDP between both sides, or open a UDP port of the connector.';
    case 'probe-timed-out':
      return connector === 'destination-dependent'
        ? 'The NAT of the connector gives every destination another port. Forward a UDP port to the connector and announce it in its direct.addresses, let its router map one (direct.portMapping), or use IPv6.'
        : 'No probe came through: a NAT or a firewall in between. What helps most is one open UDP port at the connector: a fixed port (listen), opened or forwarded, and announced in direct.addresses; or IPv6 on both sides.';
    default:
      return REMEDIES[reason];
  }
}
