import type { PeerIdentity, PeerRefusal } from '@ztna/identity';
import type { Connection, Endpoint, TransportOptions } from '@ztna/quic';
import type { Clock, Logger } from '@ztna/runtime';
import { ALPN, type IntermediateEntry, type Result, type SpiffeId, wireError } from '@ztna/wire';
import { closeRefused, closeWith } from '../close.ts';
import { connectAny } from '../connect-any.ts';
import { type Resolver, resolveAll, systemResolver } from '../resolve.ts';
import { ticketName } from '../server-name.ts';

/** Between two questions, ms, whatever happens in between. */
const INTERVAL_MS = 30_000;
/** From the first look-up to the answer, ms. */
const GIVE_UP_MS = 3_000;

export interface SecondObserverOptions {
  readonly endpoint: Endpoint;
  readonly transport: TransportOptions;
  /** Decides who an intermediate is from the chain that it presented. */
  readonly verify: (chain: readonly Uint8Array[]) => Result<PeerIdentity, PeerRefusal>;
  /** Those of the snapshot in force. */
  readonly intermediates: () => readonly IntermediateEntry[];
  /** Those to which there is a connection, or soon will be: they tell by themselves. */
  readonly inUse: () => readonly SpiffeId[];
  /** How an intermediate sees the socket; undefined: what it saw before is not to be believed any more. */
  readonly onObserved: (by: SpiffeId, address: string | undefined) => void;
  readonly clock: Clock;
  readonly log: Logger;
  readonly resolver?: Resolver;
  /** Tests. */
  readonly giveUpMs?: number;
}

/**
 * Asks a second intermediate how it sees the socket, over a connection that does nothing else: whether a NAT maps every
 * destination alike takes two observers, and an agent uses one intermediate at a time. The connection ends without
 * Hello, which intermediates take for nothing special.
 */
export class SecondObserver implements Disposable {
  readonly #options: SecondObserverOptions;
  readonly #stop = new AbortController();
  #turn = 0;
  #last: { readonly at: number; by: SpiffeId | undefined } | undefined;
  #timer: (() => void) | undefined;

  constructor(options: SecondObserverOptions) {
    this.#options = options;
  }

  /** Asks now, or when the interval since the last question is over. */
  ask(): void {
    if (this.#timer || this.#stop.signal.aborted) return;
    const { clock } = this.#options;
    const due = (this.#last?.at ?? -Infinity) + INTERVAL_MS;
    if (due <= clock.now()) return void this.#ask();
    this.#timer = clock.setTimer(due, () => {
      this.#timer = undefined;
      void this.#ask();
    });
  }

  [Symbol.dispose](): void {
    this.#stop.abort();
    this.#timer?.();
  }

  async #ask(): Promise<void> {
    const { intermediates, inUse, clock, log, onObserved } = this.#options;
    const used = inUse();
    const others = intermediates().filter(({ id }) => !used.includes(id));
    const to = others[this.#turn++ % others.length];
    const before = this.#last?.by;
    // What another one saw last time may be of another network by now.
    const forget = () => {
      if (before === undefined || before === to?.id || inUse().includes(before)) return;
      onObserved(before, undefined);
    };
    // Not a question: the next one need not wait.
    if (!to) return forget();
    this.#last = { at: clock.now(), by: undefined };
    const address = await this.#observe(to);
    if (this.#stop.signal.aborted) return;
    forget();
    if (inUse().includes(to.id)) return;
    if (address !== undefined) this.#last.by = to.id;
    const answered = address !== undefined;
    log.debug({ event: 'observer.asked', intermediate: to.name, answered }, 'asked a second observer');
    onObserved(to.id, address);
  }

  /** Undefined when there is no answer in time, for whatever reason: it is asked again some day. */
  async #observe(to: IntermediateEntry): Promise<string | undefined> {
    const { endpoint, transport, resolver = systemResolver, giveUpMs = GIVE_UP_MS } = this.#options;
    const signal = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(giveUpMs)]);
    const late = Promise.withResolvers<undefined>();
    signal.addEventListener('abort', () => late.resolve(undefined), { once: true });
    try {
      const remotes = await Promise.race([resolveAll(to.addresses, resolver), late.promise]);
      if (!remotes || remotes.length === 0) return undefined;
      const serverName = ticketName(to.id);
      const alpn = [ALPN.CONTROL];
      const connection = await connectAny(endpoint, { remotes, signal, serverName, transport, alpn });
      if (!this.#isThatOne(connection, to)) return undefined;
      const address = await Promise.race([observedBy(connection), late.promise]);
      closeWith(connection, wireError('going-away', 'that was all'));
      return address;
    } catch {
      return undefined;
    }
  }

  #isThatOne(connection: Connection, to: IntermediateEntry): boolean {
    const identity = this.#options.verify(connection.peerChain);
    if (!identity.ok) closeRefused(connection, identity.error);
    else if (identity.value.id === to.id) return true;
    else closeWith(connection, wireError('not-authorized', 'another intermediate was expected here'));
    return false;
  }
}

/** Undefined when the connection ends before. */
function observedBy(connection: Connection): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  connection.onEvent = (event) => {
    if (event.type === 'observed-address') resolve(event.address);
  };
  void connection.closed.then(() => resolve(undefined));
  connection.accept();
  return promise;
}
