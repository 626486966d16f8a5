import type { NatMapping } from '@ztna/wire';
import { Outbox } from '../outbox.ts';
import { type Interfaces, NO_INTERFACES } from './candidates.ts';
import { AddressFilter } from './filter.ts';
import { HoldDown } from './hold.ts';
import {
  DEFAULT_PATH_TUNING,
  type PathDeps,
  type PathInput,
  type PathOutput,
  type PathPolicy,
  type PathSettings,
  type PathSide,
  type PathTuning,
  type PathVerdict,
} from './io.ts';
import type { SocketAddress } from './ip.ts';
import { Observations } from './nat.ts';
import { ProbeSchedule } from './probing.ts';
import { Quality } from './quality.ts';

/** The virtual path over an intermediate; it is there as long as the session. */
export const RELAY = 0;

export interface DirectPath {
  readonly id: number;
  remote: string;
  family: 4 | 6;
  readonly openedAt: number;
  quality: Quality;
  deadSince: number | undefined;
  /** It was left for one that was clearly better. */
  wasSlower: boolean;
  /** It was left last because it lost too much. */
  wasLossy: boolean;
  /** Connector: the number of the agent's order to use it; undefined: it is a backup. */
  inUse: number | undefined;
}

type PeerHello = Omit<Extract<PathInput, { type: 'peer-hello' }>, 'type'>;

/** Everything that a PathCore knows. */
export class PathState {
  readonly side: PathSide;
  readonly settings: PathSettings;
  readonly tuning: PathTuning;
  readonly filter: AddressFilter;
  readonly hold: HoldDown;
  readonly probing: ProbeSchedule;
  readonly observations = new Observations();
  readonly outbox = new Outbox<PathOutput>();
  readonly relay: {
    up: boolean;
    dead: boolean;
    readonly quality: Quality;
    /** Until then a direct path in use is left for its losses only when the relay is known to lose far less. */
    suspectUntil: number;
  };
  readonly directs = new Map<number, DirectPath>();
  policy: PathPolicy;
  interfaces: Interfaces = NO_INTERFACES;
  mapped: SocketAddress | undefined;
  /** What the peer says it has, unfiltered; then what it was shown last, and what it shows, both filtered. */
  offered: readonly string[] = [];
  own: readonly string[] = [];
  remote: readonly string[] = [];
  /** Something came in from which `own` or `remote` follow. */
  sourcesChanged = true;
  peer: PeerHello | undefined;
  current = RELAY;
  /** An alternative that is clearly better, since when and since which round of samples. */
  better: { readonly path: number; readonly since: number; readonly round: number } | undefined;
  rounds = 0;
  /** When switches were made that no fault forced. */
  switches: number[] = [];
  /** Candidates changed: probe even though a direct path is in use. */
  candidatesChanged = false;
  mayProbe = false;
  orders = 0;
  /** When negotiation began: at the first input, and anew with another policy or network. */
  startedAt: number | undefined;
  requiredSince: number | undefined;
  nextSampleAt = 0;
  nextHelloAt = 0;
  told: {
    hello: string;
    verdict: PathVerdict | undefined;
    verdictTimes: number[];
    /** When a verdict that was held back is told. */
    nextVerdictAt: number | undefined;
    flows: boolean;
  } = {
    hello: '',
    verdict: undefined,
    verdictTimes: [],
    nextVerdictAt: undefined,
    flows: true,
  };

  constructor({ side, settings, policy, random, tuning }: PathDeps) {
    this.side = side;
    this.settings = settings;
    this.policy = policy;
    this.tuning = { ...DEFAULT_PATH_TUNING, ...tuning };
    this.filter = new AddressFilter(settings);
    this.hold = new HoldDown(this.tuning);
    this.probing = new ProbeSchedule(this.tuning, random);
    this.relay = { up: true, dead: false, quality: new Quality(this.tuning), suspectUntil: 0 };
  }

  /** No direct path may exist: by policy or configuration. */
  get isDenied(): boolean {
    return this.policy.direct === 'deny' || !this.settings.enabled;
  }

  /** Agents show private addresses always, connectors where their site opted in. */
  get allowPrivate(): boolean {
    return this.side === 'agent' || this.policy.showPrivateAddresses;
  }

  get isRelayUsable(): boolean {
    return this.relay.up && !this.relay.dead;
  }

  /** Direct paths that live. */
  living(): DirectPath[] {
    return [...this.directs.values()].filter(({ deadSince }) => deadSince === undefined);
  }

  /** The direct path in use, if it lives. */
  get direct(): DirectPath | undefined {
    const path = this.directs.get(this.current);
    return path?.deadSince === undefined ? path : undefined;
  }

  /** Of IPv4, which is where NATs are; of IPv6 on a machine that has nothing else. */
  get nat(): NatMapping {
    const has4 =
      this.interfaces.shown.some(({ family }) => family === 4) ||
      this.observations.addresses().some(({ ip }) => ip.family === 4);
    return this.observations.mapping(has4 ? 4 : 6, this.interfaces.all);
  }

  count(metric: string, cause: string): void {
    this.outbox.push({ type: 'count', metric, cause });
  }

  /** The relay died, or a direct path that loses was preferred to it: it is not gone back to at once. */
  suspectRelay(now: number): void {
    this.relay.suspectUntil = now + this.tuning.lossMemoryMs;
  }
}
