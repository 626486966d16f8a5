import type { DirectPaths, NatMapping, SessionUid } from '@ztna/wire';
import type { CountOutput } from '../types.ts';

/** The agent is the QUIC client: it opens paths and decides. The connector shows addresses and follows. */
export type PathSide = 'agent' | 'connector';

/** One address of a network interface. */
export interface LocalAddress {
  readonly interface: string;
  /** Without zone. */
  readonly address: string;
  /** Length of the subnet's prefix in bits. */
  readonly prefix: number;
}

/** What the engine knows of one path now; counts are since the path was opened. */
export interface PathSample {
  readonly path: number;
  readonly rttMs: number;
  /** The smallest so far; not known before the first acknowledgement. */
  readonly minRttMs?: number;
  readonly sent: number;
  readonly lost: number;
  readonly mtu: number;
}

/** Addresses are `192.0.2.1:4433` or `[2001:db8::1]:4433`. Path 0 is the relay and there from the start. */
export type PathInput =
  /** All addresses of this machine, and the port of the socket; replaces what was said before. */
  | { readonly type: 'local'; readonly addresses: readonly LocalAddress[]; readonly port: number }
  /** How an intermediate sees the socket; `address` undefined: not connected to it any more. */
  | { readonly type: 'observed'; readonly by: string; readonly address: string | undefined }
  /** A port mapping on the router; undefined: none (any more). */
  | { readonly type: 'mapped'; readonly address: string | undefined }
  /** Agent only: what the connector shows; replaces what it showed before. */
  | { readonly type: 'remote-candidates'; readonly addresses: readonly string[] }
  | { readonly type: 'path-opened'; readonly path: number; readonly remote: string }
  /** The other side sends from another address now. */
  | { readonly type: 'path-moved'; readonly path: number; readonly remote: string }
  | { readonly type: 'path-closed'; readonly path: number }
  /** Silent although something is outstanding: the engine has moved what was on it already. */
  | { readonly type: 'path-dead'; readonly path: number }
  | { readonly type: 'path-alive'; readonly path: number }
  /** The other side set the path's status. */
  | { readonly type: 'path-status'; readonly path: number; readonly backup: boolean }
  | { readonly type: 'samples'; readonly samples: readonly PathSample[] }
  /** No intermediate carries the session. */
  | { readonly type: 'relay-lost' }
  | { readonly type: 'relay-back' }
  | { readonly type: 'network-changed' }
  | ({ readonly type: 'policy' } & PathPolicy)
  /** PathHello of the other side. */
  | {
      readonly type: 'peer-hello';
      readonly nat: NatMapping;
      readonly directAllowed: boolean;
      readonly candidates: number;
    };

export type PathOutput =
  /** Tell the peer these addresses (at most 16); replaces those told before. */
  | { readonly type: 'show-candidates'; readonly addresses: readonly string[] }
  /** Agent only: start a round of probes between both sides' candidates. */
  | { readonly type: 'probe' }
  /** Make this path `available` and all others `backup`. */
  | { readonly type: 'prefer'; readonly path: number }
  | { readonly type: 'close-path'; readonly path: number }
  /** Give `samples` of all open paths. */
  | { readonly type: 'ask-samples' }
  /** Send PathHello. */
  | {
      readonly type: 'hello';
      readonly nat: NatMapping;
      readonly directAllowed: boolean;
      readonly candidates: number;
    }
  /** Flows may run, or must wait: policy requires a direct path. See `mayCarryFlows`. */
  | { readonly type: 'flows'; readonly may: boolean }
  | { readonly type: 'verdict-changed'; readonly verdict: PathVerdict }
  | CountOutput;

/** What the own snapshot says of this session. */
export interface PathPolicy {
  readonly direct: DirectPaths;
  /** Connector: the site shows private addresses. An agent always shows its own. */
  readonly showPrivateAddresses: boolean;
}

/** Of the agent's or connector's core: the policy of a session that is up; comes again when it changed. */
export interface PathPolicyOutput extends PathPolicy {
  readonly type: 'path-policy';
  readonly session: SessionUid;
}

/** From the configuration of the component. */
export interface PathSettings {
  readonly enabled: boolean;
  /** Names with `*`; shown is what `allow` names and `deny` does not. An empty `allow` allows none. */
  readonly interfaces: { readonly allow: readonly string[]; readonly deny: readonly string[] };
  /** Forwards made by hand: addresses with or without port; without, the socket's. */
  readonly addresses: readonly string[];
  readonly virtualRanges: readonly string[];
  /** Tests on one machine only. */
  readonly allowLoopback: boolean;
}

export interface PathDeps {
  readonly side: PathSide;
  readonly settings: PathSettings;
  readonly policy: PathPolicy;
  /** Uniform in [0, 1); for jitter only. */
  readonly random: () => number;
  readonly tuning?: Partial<PathTuning>;
}

/** Why a session is not on a direct path. Stable: logged, counted, shown. */
export type PathReason =
  /** Candidates and probes are under way. */
  | 'starting'
  /** The own snapshot denies direct paths. */
  | 'policy'
  /** Switched off in the own configuration. */
  | 'disabled'
  /** The other side's policy or configuration does not let it. */
  | 'peer-policy'
  /** No own address that may be shown. */
  | 'no-candidates'
  | 'no-peer-candidates'
  | 'symmetric-nat-both-sides'
  /** No NAT on at least one side, and yet nothing came through. */
  | 'udp-blocked'
  | 'probe-timed-out'
  /** There is a direct path, and the relay is better. Of agents. */
  | 'worse-than-relay'
  /** There is a direct path, and the agent keeps to the relay. Of connectors, which follow. */
  | 'agent-decides'
  /** The direct path died or lost too much, lately or again and again. */
  | 'unstable'
  /** Neither the relay nor a direct path. */
  | 'no-path';

/** How a session travels, and if not directly, why and what would help; `PathVerdict` is what `ztna status` shows of it. */
export interface PathVerdict {
  /** `waiting`, `none`: no flow runs; policy requires a direct path that is not there yet, or at all; or no path lives. */
  readonly path: 'direct' | 'relayed' | 'waiting' | 'none';
  /** When it became so, by the clock of `now`. */
  readonly since: number;
  /** Of a direct path. */
  readonly remote?: string;
  readonly reason?: PathReason;
  /** For people: what to do about it. Empty when there is nothing. */
  readonly remedy: string;
  readonly nat: { readonly own: NatMapping; readonly peer?: NatMapping };
  /** Of the path in use, when sampled. */
  readonly rttMs?: number;
  /** Share of packets lost, of the last 200 or more. */
  readonly loss?: number;
  readonly mtu?: number;
}

/** Times in ms. Names say what; `PathCore` says why. */
export interface PathTuning {
  readonly probeIntervalsMs: readonly number[];
  /** At most so many probes at once, and one more each `probeRefillMs`. */
  readonly probeBurst: number;
  readonly probeRefillMs: number;
  /** A change of network gives all of them again, at most so often. */
  readonly probeAnewMs: number;
  /** How long a round of probes may take before it counts as failed. */
  readonly probeWaitMs: number;
  /** Between samples while a direct path is open, and while none is. */
  readonly sampleMs: { readonly agent: number; readonly connector: number };
  readonly idleSampleMs: number;
  /** An agent's interval while a direct path is not in use that was opened within `youngMs`. */
  readonly youngSampleMs: number;
  readonly youngMs: number;
  /** A direct path is taken when its least RTT is at most `rtt of the relay * takeFactor + takeMarginMs`. */
  readonly takeFactor: number;
  readonly takeMarginMs: number;
  /** Clearly better: by this share and by so much, for so long, in so many samples. */
  readonly betterShare: number;
  readonly betterMs: number;
  readonly betterForMs: number;
  readonly betterSamples: number;
  readonly lossLimit: number;
  readonly lossPackets: number;
  /** The relay loses as much as a direct path when it loses this share of that; its square where it is suspect. */
  readonly likeLoss: number;
  /** What was measured of loss is believed for so long, and for so long the relay is suspect. */
  readonly lossMemoryMs: number;
  /** Switches that no fault forces, within a minute. */
  readonly switchesPerMinute: number;
  readonly holdBaseMs: number;
  readonly holdMaxMs: number;
  /** So long without trouble, and an address is as good as new. */
  readonly holdForgetMs: number;
  /** A dead path is closed after so long; until then it may come back. */
  readonly deadKeepMs: number;
  readonly maxDirectPaths: number;
  /** `require`: time for the direct path before the verdict is `none`. */
  readonly requireDeadlineMs: number;
}

export const DEFAULT_PATH_TUNING: PathTuning = {
  probeIntervalsMs: [1_000, 2_000, 5_000, 10_000, 30_000, 60_000, 300_000],
  probeBurst: 5,
  probeRefillMs: 10_000,
  probeAnewMs: 30_000,
  probeWaitMs: 5_000,
  sampleMs: { agent: 1_000, connector: 10_000 },
  idleSampleMs: 30_000,
  youngSampleMs: 50,
  youngMs: 1_000,
  takeFactor: 1.2,
  takeMarginMs: 5,
  betterShare: 0.2,
  betterMs: 5,
  betterForMs: 5_000,
  betterSamples: 3,
  lossLimit: 0.05,
  lossPackets: 200,
  likeLoss: 0.5,
  lossMemoryMs: 60_000,
  switchesPerMinute: 6,
  holdBaseMs: 10_000,
  holdMaxMs: 300_000,
  holdForgetMs: 600_000,
  deadKeepMs: 10_000,
  maxDirectPaths: 4,
  requireDeadlineMs: 10_000,
};
