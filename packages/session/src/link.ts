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
/** Another intermediate is tried beside one that has not answered for so long: a silent one holds nobody up. */
const HEAD_START_MS = 500;

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
  /** No intermediate lets this peer in; see `isTurnedAway`. */
  onTurnedAway?(now: number): void;
}

interface Attempt {
  readonly connection: ConnectionKey;
  readonly to: IntermediateEntry;
  helloSent: boolean;
  deadline: number;
}

interface Active {
  readonly connection: ConnectionKey;
  readonly to: IntermediateEntry;
  readonly since: number;
  /** A replacement is wanted: the connection stalled, or the intermediate said GoAway. */
  leaving: boolean;
  stalled: boolean;
}

/**
 * Keeps one outer connection to one of some intermediates: first try at once, the next intermediate soon if that does
 * not answer, then jittered backoff; the first that answers is taken. In parallel to a connection that stalls or drains.
 */
export class OuterLink {
  readonly name: string;
  readonly #host: LinkHost;
  readonly #backoff: Backoff;
  #candidates: readonly IntermediateEntry[] = [];
  /** Those that may be connected to, as they were when they were set. */
  #places = '[]';
  #turn = 0;
  /** At most one for each intermediate. */
  readonly #attempts = new Map<ConnectionKey, Attempt>();
  /** When another attempt begins. */
  #nextAt: number | undefined;
  #active: Active | undefined;
  #previous: ConnectionKey | undefined;
  /** It has worked before: an attempt that takes long then means that nobody is there. */
  #worked = false;
  #refusal: WireError | undefined;
  /** Who refused by what no further attempt changes, as long as the files of both sides stay as they are. */
  readonly #refusedBy = new Set<IntermediateEntry['id']>();
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

  /** The name of the intermediate at its other end. */
  get intermediate(): string | undefined {
    return this.#active?.to.name;
  }

  /** Why the intermediates turn this peer away; undefined once one lets it in, or when none answers. */
  get refusal(): WireError | undefined {
    return this.#refusal;
  }

  /** Every intermediate that may be used refuses this peer, by what no further attempt changes. */
  get isTurnedAway(): boolean {
    const usable = this.#inOrder();
    return !this.#active && usable.length > 0 && usable.every(({ id }) => this.#refusedBy.has(id));
  }

  /** An intermediate that has let this peer in answers, as far as is known. */
  get isAnswered(): boolean {
    return this.#active?.stalled === false;
  }

  /** When the next attempt begins, while there is neither a connection nor an attempt. */
  get nextAttemptAt(): number | undefined {
    return this.#active || this.#attempts.size > 0 ? undefined : this.#nextAt;
  }

  owns(connection: ConnectionKey): boolean {
    const others = [this.#active?.connection, this.#previous];
    return this.#attempts.has(connection) || others.includes(connection);
  }

  /** Sets where to connect, in order of preference, and drops a connection to somewhere else. */
  setCandidates(candidates: readonly IntermediateEntry[], now: number) {
    this.#candidates = candidates;
    const places = JSON.stringify(this.#inOrder(0).map((c) => [c.id, c.addresses]));
    // One that was revoked is still listed: without it the others are to be tried.
    const changed = places !== this.#places;
    this.#places = places;
    const isKnown = (to: IntermediateEntry) =>
      candidates.some((c) => c.id === to.id) && !this.#host.isRevoked(to.id);
    const gone = wireError('going-away', 'the intermediate is no longer in the snapshot');
    for (const { connection, to } of [...this.#attempts.values()]) {
      if (!isKnown(to)) this.#abandon(connection, gone);
    }
    if (this.#active && !isKnown(this.#active.to)) this.#drop(gone, now);
    this.#arm();
    // Files were read again: whoever refused may think differently now.
    const wasRefused = this.#refusedBy.size > 0;
    this.#refusedBy.clear();
    if (this.#active || !(changed || wasRefused)) return;
    this.#backoff.restart(now);
    if (this.#attempts.size === 0) this.#retry(now);
  }

  stop(reason: string, now: number) {
    const error = wireError('going-away', reason);
    this.#stopped = true;
    this.#abandonAll(error);
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
        return this.#onStalled(input.connection, now);
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

  /** The link's timer fired: attempts took too long, or another is to begin. */
  handleTimeout(now: number) {
    if (this.#stopped) return;
    const late = [...this.#attempts.values()].filter(({ deadline }) => deadline <= now);
    for (const { connection } of late) {
      this.#host.emit({ type: 'count', metric: 'outer_lost', cause: 'timeout' });
      this.#abandon(connection, wireError('timeout', 'the intermediate did not answer in time'));
    }
    if (late.length > 0) {
      this.#refusal = undefined;
      this.#refusedBy.clear();
      this.#turn++;
      return this.#retry(now);
    }
    if (this.#nextAt !== undefined && this.#nextAt <= now) return this.#connect(now);
    this.#arm();
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
    if (this.#attempts.size === 0) this.#retry(now);
  }

  #connect(now: number) {
    this.#nextAt = undefined;
    if (this.#active && !this.#active.leaving) return this.#arm();
    const tried = new Set([...this.#attempts.values()].map(({ to }) => to.id));
    const [to, another] = this.#inOrder().filter(({ id }) => !tried.has(id));
    if (!to) return this.#arm();
    const connection = this.#host.nextConnection();
    const deadline = now + this.#attemptTimeout(now);
    this.#attempts.set(connection, { connection, to, helloSent: false, deadline });
    this.#startedAt = now;
    if (another) this.#nextAt = now + HEAD_START_MS;
    this.#arm();
    this.#host.emit({ type: 'connect', connection, to });
  }

  /** What may be connected to, the one whose turn it is first. */
  #inOrder(turn = this.#turn): IntermediateEntry[] {
    const usable = this.#candidates.filter((c) => !this.#host.isRevoked(c.id));
    const first = turn % Math.max(1, usable.length);
    return [...usable.slice(first), ...usable.slice(0, first)];
  }

  #retry(now: number) {
    if (this.#stopped || this.#candidates.length === 0) return;
    const { isTurnedAway } = this;
    if (isTurnedAway) this.#host.onTurnedAway?.(now);
    const delay = this.#backoff.next(now, this.#host.random(), isTurnedAway);
    const at = this.#startedAt + delay;
    if (delay === 0 || at <= now) return this.#connect(now);
    this.#nextAt = Math.min(this.#nextAt ?? Infinity, at);
    this.#arm();
  }

  /** Sets the timer to what is due first. */
  #arm() {
    const deadlines = [...this.#attempts.values()].map(({ deadline }) => deadline);
    const at = Math.min(this.#nextAt ?? Infinity, ...deadlines);
    if (at === Infinity) this.#host.cancelTimer(this);
    else this.#host.setTimer(this, at);
  }

  /** Short while a restart is likely: QUIC sends its first packet again only after a second, then two, then four. */
  #attemptTimeout(now: number): number {
    const { connectTimeoutMs, backoff } = this.#host;
    return this.#worked && this.#backoff.isFast(now)
      ? Math.min(connectTimeoutMs, backoff.fastCapMs)
      : connectTimeoutMs;
  }

  #onConnected(connection: ConnectionKey, identity: PeerIdentity, now: number) {
    const attempt = this.#attempts.get(connection);
    if (!attempt) return;
    const { local } = this.#host;
    const expected =
      identity.id === attempt.to.id && identity.role === 'intermediate' && identity.tenant === local.tenant;
    if (!expected || this.#host.isRevoked(identity.id)) {
      this.#event('warn', 'intermediate.wrong-identity', { expected: attempt.to.id, got: identity.id });
      const error = wireError(
        'not-authorized',
        'the certificate is not that of the intermediate in the snapshot',
      );
      return this.#refuse(connection, error, now);
    }
    attempt.helloSent = true;
    attempt.deadline = now + HELLO_TIMEOUT_MS;
    this.#arm();
    this.#host.emit({ type: 'send', connection, message: makeHello(local, this.#host.revision(), now) });
  }

  #onMessage(connection: ConnectionKey, message: ControlMessage, now: number) {
    const attempt = this.#attempts.get(connection);
    if (attempt) return this.#onFirstMessage(attempt, message, now);
    if (this.#active?.connection !== connection) return;
    if (message.type === 'hello')
      return this.fail(wireError('protocol', 'second Hello on one connection'), now);
    if (message.type === 'goAway') this.#leave(connection, now, 1);
    this.#host.onMessage(connection, message, now);
  }

  #onFirstMessage(attempt: Attempt, message: ControlMessage, now: number) {
    const { connection, to, helloSent } = attempt;
    if (message.type === 'error') {
      this.#onRefused(to, message.error);
      if (message.error.code === 'revoked') this.#host.onRevoked?.(now);
      return this.#refuse(connection, message.error, now);
    }
    if (message.type !== 'hello' || !helloSent) {
      return this.#refuse(connection, wireError('protocol', 'the first message must be Hello'), now);
    }
    this.#onHello(attempt, message, now);
  }

  #onHello(attempt: Attempt, hello: Hello, now: number) {
    const { local } = this.#host;
    const refusal = refuseHello(hello, local, local.tenant);
    if (refusal) return this.#refuse(attempt.connection, refusal, now);
    const previous = this.#active;
    this.#attempts.delete(attempt.connection);
    this.#abandonAll(wireError('going-away', 'another intermediate answered first'));
    this.#worked = true;
    this.#refusal = undefined;
    this.#refusedBy.clear();
    const { connection, to } = attempt;
    this.#active = { connection, to, since: now, leaving: false, stalled: false };
    // Told now, once it is certain: until then it might have come back.
    if (previous?.stalled) this.#tellLost(previous.to, { reason: 'it stopped answering' });
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
    if (this.#attempts.has(connection)) return this.#refuse(connection, error, now);
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
    const attempt = this.#attempts.get(connection);
    if (attempt) {
      if (code && code !== 'going-away')
        this.#onRefused(attempt.to, wireError(code, reason.replace(`peer: ${code}: `, '')));
      else this.#refusedBy.delete(attempt.to.id);
      this.#attempts.delete(connection);
      this.#turn++;
      return this.#retry(now);
    }
    if (this.#active?.connection !== connection) return;
    this.#tellLost(this.#active.to, { reason, ...(code && { code }) });
    this.#forgetActive(now);
    if (this.#attempts.size === 0) this.#retry(now);
  }

  #tellLost(
    { name: intermediate }: IntermediateEntry,
    how: { readonly reason: string; readonly code?: string },
  ) {
    this.#event('info', 'intermediate.lost', { intermediate, ...how });
  }

  /** Said once for each reason: attempts go on, and the answer is mostly the same. */
  #onRefused({ id, name: intermediate }: IntermediateEntry, error: WireError) {
    const { code, message, retryable } = error;
    if (!retryable) this.#refusedBy.add(id);
    if (this.#refusal?.code !== code)
      this.#event('warn', 'intermediate.refused', { intermediate, code, message });
    this.#refusal = error;
  }

  #onStalled(connection: ConnectionKey, now: number) {
    if (this.#active?.connection === connection) this.#active.stalled = true;
    this.#leave(connection, now);
  }

  #leave(connection: ConnectionKey, now: number, skip = 0) {
    const active = this.#active;
    if (active?.connection !== connection || active.leaving) return;
    if (skip > 0 && this.#candidates.length < 2) return;
    active.leaving = true;
    this.#turn += skip;
    this.#backoff.restart(now);
    if (this.#attempts.size === 0) this.#retry(now);
  }

  #onRecovered(connection: ConnectionKey) {
    if (this.#active?.connection !== connection) return;
    this.#active.leaving = false;
    this.#active.stalled = false;
    this.#abandonAll(wireError('going-away', 'the earlier connection recovered'));
  }

  #refuse(connection: ConnectionKey, error: WireError, now: number) {
    const attempt = this.#attempts.get(connection);
    if (attempt && !error.retryable) this.#refusedBy.add(attempt.to.id);
    this.#abandon(connection, error);
    this.#turn++;
    this.#retry(now);
  }

  #abandon(connection: ConnectionKey, error: WireError) {
    if (this.#attempts.delete(connection)) this.#host.emit({ type: 'disconnect', connection, error });
  }

  /** Nothing is tried any more. */
  #abandonAll(error: WireError) {
    for (const connection of [...this.#attempts.keys()]) this.#abandon(connection, error);
    this.#nextAt = undefined;
    this.#arm();
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
