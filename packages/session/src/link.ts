import {
  type ControlMessage,
  type Hello,
  type IntermediateEntry,
  type Revision,
  type WireError,
  type WireErrorCode,
  wireError,
} from '@ztna/wire';
import { Backoff, type BackoffConfig } from './backoff.ts';
import { HELLO_TIMEOUT_MS, type LocalInfo, makeHello, refuseHello } from './hello.ts';
import type { LinkInput, LinkOutput } from './link-io.ts';
import {
  type ConnectionKey,
  type CountOutput,
  type EventOutput,
  type PeerIdentity,
  unreachable,
} from './types.ts';

/** A connection that lived shorter than this does not reset the backoff: no hot loop against a peer that refuses. */
const STABLE_MS = 5_000;

/** What a link needs of the core that owns it. */
export interface LinkHost {
  readonly local: LocalInfo;
  readonly backoff: BackoffConfig;
  readonly connectTimeoutMs: number;
  readonly random: () => number;
  nextConnection(): ConnectionKey;
  /** Revision in force, for Hello. */
  revision(): Revision;
  isRevoked(id: PeerIdentity['id']): boolean;
  emit(output: LinkOutput | EventOutput | CountOutput): void;
  setTimer(link: OuterLink, at: number): void;
  cancelTimer(link: OuterLink): void;
  /** The link is usable over `connection`. A stalled or draining one before it stays until `releasePrevious`. */
  onReady(link: OuterLink, connection: ConnectionKey, now: number): void;
  onLost(link: OuterLink, connection: ConnectionKey, now: number): void;
  onMessage(connection: ConnectionKey, message: ControlMessage, now: number): void;
  /** The intermediate says that this identity was revoked. */
  onRevoked?(now: number): void;
}

interface Attempt {
  readonly connection: ConnectionKey;
  readonly to: IntermediateEntry;
  helloSent: boolean;
}

interface Active {
  readonly connection: ConnectionKey;
  readonly to: IntermediateEntry;
  readonly since: number;
  /** A replacement is wanted: the connection stalled, or the intermediate said GoAway. */
  leaving: boolean;
}

/**
 * Keeps one outer connection to one of some intermediates: first try at once, then jittered backoff, in
 * parallel to a connection that stalls or drains.
 */
export class OuterLink {
  readonly name: string;
  readonly #host: LinkHost;
  readonly #backoff: Backoff;
  #candidates: readonly IntermediateEntry[] = [];
  #turn = 0;
  #attempt: Attempt | undefined;
  #active: Active | undefined;
  #previous: ConnectionKey | undefined;
  /** It has worked before: an attempt that takes long then means that nobody is there. */
  #worked = false;
  #refusal: WireError | undefined;
  #startedAt = Number.NEGATIVE_INFINITY;
  #stopped = false;

  constructor(name: string, host: LinkHost) {
    this.name = name;
    this.#host = host;
    this.#backoff = new Backoff(host.backoff);
  }

  /** The connection over which messages can be sent now. */
  get connection(): ConnectionKey | undefined {
    return this.#active?.connection;
  }

  /** Why the intermediates turn this peer away; undefined once one lets it in, or when none answers. */
  get refusal(): WireError | undefined {
    return this.#refusal;
  }

  owns(connection: ConnectionKey): boolean {
    return [this.#active?.connection, this.#attempt?.connection, this.#previous].includes(connection);
  }

  /** Sets where to connect, in order of preference, and drops a connection to somewhere else. */
  setCandidates(candidates: readonly IntermediateEntry[], now: number) {
    const places = (list: readonly IntermediateEntry[]) =>
      JSON.stringify(list.map((c) => [c.id, c.addresses]));
    const changed = places(candidates) !== places(this.#candidates);
    this.#candidates = candidates;
    const isKnown = (to: IntermediateEntry) =>
      candidates.some((c) => c.id === to.id) && !this.#host.isRevoked(to.id);
    const gone = wireError('going-away', 'the intermediate is no longer in the snapshot');
    if (this.#attempt && !isKnown(this.#attempt.to)) this.#abandon(gone);
    if (this.#active && !isKnown(this.#active.to)) this.#drop(gone, now);
    if (this.#active || this.#attempt || !changed) return;
    this.#backoff.restart(now);
    this.#retry(now);
  }

  stop(reason: string, now: number) {
    const error = wireError('going-away', reason);
    this.#stopped = true;
    this.#abandon(error);
    this.releasePrevious();
    if (this.#active) this.#drop(error, now);
    this.#host.cancelTimer(this);
  }

  handleInput(input: LinkInput, now: number) {
    switch (input.type) {
      case 'outer-connected':
        return this.#onConnected(input.connection, input.identity, now);
      case 'outer-lost':
        return this.#onLost(input.connection, input.reason, now, input.code);
      case 'outer-stalled':
        return this.#leave(input.connection, now);
      case 'outer-recovered':
        return this.#onRecovered(input.connection);
      case 'message':
        return this.#onMessage(input.connection, input.message, now);
      case 'malformed':
        return this.#onMalformed(input.connection, input.reason, input.fatal, now);
      default:
        unreachable(input);
    }
  }

  /** The link's timer fired: either an attempt took too long or the backoff is over. */
  handleTimeout(now: number) {
    if (this.#stopped) return;
    if (!this.#attempt) return this.#connect(now);
    this.#host.emit({ type: 'count', metric: 'outer_lost', cause: 'timeout' });
    this.#refusal = undefined;
    this.#abandon(wireError('timeout', 'the intermediate did not answer in time'));
    this.#turn++;
    this.#retry(now);
  }

  /** What ran over the connection before has moved: disconnect it. */
  releasePrevious() {
    if (this.#previous === undefined) return;
    const error = wireError('going-away', 'moved to a newer connection');
    this.#host.emit({ type: 'disconnect', connection: this.#previous, error });
    this.#previous = undefined;
  }

  /** Gives up the connection because of what the peer sent or did. */
  fail(error: WireError, now: number) {
    if (this.#active) this.#drop(error, now);
    if (!this.#attempt) this.#retry(now);
  }

  #connect(now: number) {
    const usable = this.#candidates.filter((c) => !this.#host.isRevoked(c.id));
    const to = usable[this.#turn % Math.max(1, usable.length)];
    if (!to || (this.#active && !this.#active.leaving)) return;
    const connection = this.#host.nextConnection();
    this.#attempt = { connection, to, helloSent: false };
    this.#startedAt = now;
    this.#host.setTimer(this, now + this.#attemptTimeout(now));
    this.#host.emit({ type: 'connect', connection, to });
  }

  #retry(now: number) {
    if (this.#stopped || this.#candidates.length === 0) return;
    const delay = this.#backoff.next(now, this.#host.random());
    const at = this.#startedAt + delay;
    if (delay === 0 || at <= now) return this.#connect(now);
    this.#host.setTimer(this, at);
  }

  /** Short while a restart is likely: QUIC sends its first packet again only after a second, then two, then four. */
  #attemptTimeout(now: number): number {
    const { connectTimeoutMs, backoff } = this.#host;
    return this.#worked && this.#backoff.isFast(now)
      ? Math.min(connectTimeoutMs, backoff.fastCapMs)
      : connectTimeoutMs;
  }

  #onConnected(connection: ConnectionKey, identity: PeerIdentity, now: number) {
    const attempt = this.#attempt;
    if (attempt?.connection !== connection) return;
    const { local } = this.#host;
    const expected =
      identity.id === attempt.to.id && identity.role === 'intermediate' && identity.tenant === local.tenant;
    if (!expected || this.#host.isRevoked(identity.id)) {
      this.#event('warn', 'intermediate.wrong-identity', { expected: attempt.to.id, got: identity.id });
      return this.#refuse(
        wireError('not-authorized', 'the certificate is not that of the intermediate in the snapshot'),
        now,
      );
    }
    attempt.helloSent = true;
    this.#host.setTimer(this, now + HELLO_TIMEOUT_MS);
    this.#host.emit({ type: 'send', connection, message: makeHello(local, this.#host.revision(), now) });
  }

  #onMessage(connection: ConnectionKey, message: ControlMessage, now: number) {
    if (this.#attempt?.connection === connection) return this.#onFirstMessage(message, now);
    if (this.#active?.connection !== connection) return;
    if (message.type === 'hello')
      return this.fail(wireError('protocol', 'second Hello on one connection'), now);
    if (message.type === 'goAway') this.#leave(connection, now, 1);
    this.#host.onMessage(connection, message, now);
  }

  #onFirstMessage(message: ControlMessage, now: number) {
    if (message.type === 'error') {
      if (this.#attempt) this.#onRefused(this.#attempt.to, message.error);
      if (message.error.code === 'revoked') this.#host.onRevoked?.(now);
      return this.#refuse(message.error, now);
    }
    if (message.type !== 'hello' || !this.#attempt?.helloSent) {
      return this.#refuse(wireError('protocol', 'the first message must be Hello'), now);
    }
    this.#onHello(message, now);
  }

  #onHello(hello: Hello, now: number) {
    const attempt = this.#attempt as Attempt;
    const { local } = this.#host;
    const refusal = refuseHello(hello, local, local.tenant);
    if (refusal) return this.#refuse(refusal, now);
    const previous = this.#active;
    this.#attempt = undefined;
    this.#worked = true;
    this.#refusal = undefined;
    this.#active = { connection: attempt.connection, to: attempt.to, since: now, leaving: false };
    this.#host.cancelTimer(this);
    this.#event('info', 'intermediate.connected', { intermediate: attempt.to.name });
    this.releasePrevious();
    this.#previous = previous?.connection;
    this.#host.onReady(this, attempt.connection, now);
  }

  #onMalformed(connection: ConnectionKey, reason: string, fatal: boolean, now: number) {
    this.#host.emit({ type: 'count', metric: 'malformed', cause: fatal ? 'fatal' : 'unknown' });
    if (!fatal) {
      const error = wireError('unknown-message', reason);
      return this.#host.emit({ type: 'send', connection, message: { type: 'error', error } });
    }
    const error = wireError('protocol', reason);
    if (this.#attempt?.connection === connection) return this.#refuse(error, now);
    if (this.#active?.connection === connection) this.fail(error, now);
  }

  #onLost(connection: ConnectionKey, reason: string, now: number, code?: WireErrorCode) {
    if (code === 'revoked' && this.owns(connection)) this.#host.onRevoked?.(now);
    this.#host.emit({
      type: 'count',
      metric: 'outer_lost',
      cause: this.#active?.connection === connection ? 'established' : 'connecting',
    });
    if (this.#previous === connection) this.#previous = undefined;
    if (this.#attempt?.connection === connection) {
      if (code && code !== 'going-away') this.#onRefused(this.#attempt.to, wireError(code, reason));
      this.#attempt = undefined;
      this.#turn++;
      return this.#retry(now);
    }
    if (this.#active?.connection !== connection) return;
    this.#event('info', 'intermediate.lost', { intermediate: this.#active.to.name, reason });
    this.#forgetActive(now);
    if (!this.#attempt) this.#retry(now);
  }

  /** Said once for each reason: attempts go on, and the answer is mostly the same. */
  #onRefused({ name: intermediate }: IntermediateEntry, error: WireError) {
    const { code, message } = error;
    if (this.#refusal?.code !== code)
      this.#event('warn', 'intermediate.refused', { intermediate, code, message });
    this.#refusal = error;
  }

  #leave(connection: ConnectionKey, now: number, skip = 0) {
    const active = this.#active;
    if (active?.connection !== connection || active.leaving) return;
    if (skip > 0 && this.#candidates.length < 2) return;
    active.leaving = true;
    this.#turn += skip;
    this.#backoff.restart(now);
    if (!this.#attempt) this.#retry(now);
  }

  #onRecovered(connection: ConnectionKey) {
    if (this.#active?.connection !== connection) return;
    this.#active.leaving = false;
    this.#abandon(wireError('going-away', 'the earlier connection recovered'));
    this.#host.cancelTimer(this);
  }

  #refuse(error: WireError, now: number) {
    this.#abandon(error);
    this.#turn++;
    this.#retry(now);
  }

  #abandon(error: WireError) {
    if (!this.#attempt) return;
    this.#host.emit({ type: 'disconnect', connection: this.#attempt.connection, error });
    this.#attempt = undefined;
  }

  #drop(error: WireError, now: number) {
    const active = this.#active as Active;
    this.#host.emit({ type: 'disconnect', connection: active.connection, error });
    this.#forgetActive(now);
  }

  #forgetActive(now: number) {
    const active = this.#active as Active;
    this.#active = undefined;
    if (!active.leaving && now - active.since >= STABLE_MS) this.#backoff.restart(now);
    this.#host.onLost(this, active.connection, now);
  }

  #event(level: EventOutput['level'], event: string, fields: EventOutput['fields']) {
    this.#host.emit({ type: 'event', level, event, fields });
  }
}
