import type { Connection, ConnectOptions, Endpoint } from '@ztna/quic';

/** The next address is tried after this, in ms (RFC 8305 §5: connection attempt delay). */
const NEXT_ADDRESS_MS = 250;
/** All addresses are tried anew so often, in ms, while earlier attempts go on. */
const NEXT_ROUND_MS = 1_000;
const MAX_UNDER_WAY = 16;

export interface ConnectAnyOptions extends Omit<ConnectOptions, 'remote' | 'signal'> {
  /** `ip:port`, in order of preference; at least one. */
  readonly remotes: readonly string[];
  /** Ends all attempts. */
  readonly signal: AbortSignal;
}

/**
 * Connects to whichever address answers first. Addresses are tried one after another a little apart, and all again
 * each second: QUIC repeats a lost first packet at doubling intervals, so an attempt that began while the peer was
 * restarting would notice it late. Rejects with the last failure when every attempt failed, or on abort.
 */
export function connectAny(
  endpoint: Pick<Endpoint, 'connect'>,
  options: ConnectAnyOptions,
): Promise<Connection> {
  const { remotes, signal, ...rest } = options;
  const losers = new AbortController();
  const stop = AbortSignal.any([signal, losers.signal]);
  const done = Promise.withResolvers<Connection>();
  let underWay = 0;
  let started = 0;
  let timer: NodeJS.Timeout | undefined;

  const end = () => {
    clearTimeout(timer);
    losers.abort();
  };
  const abandoned = () => done.reject(new Error('given up'));
  signal.addEventListener('abort', abandoned, { once: true });
  if (signal.aborted) abandoned();
  else start();
  return done.promise.finally(() => {
    signal.removeEventListener('abort', abandoned);
    end();
  });

  function start(): void {
    if (stop.aborted) return;
    const turn = started++ % remotes.length;
    timer = setTimeout(start, turn + 1 < remotes.length ? NEXT_ADDRESS_MS : NEXT_ROUND_MS);
    if (underWay >= MAX_UNDER_WAY) return;
    underWay++;
    endpoint.connect({ ...rest, remote: remotes[turn] ?? '', signal: stop }).then(onConnected, onFailed);
  }

  function onConnected(connection: Connection): void {
    underWay--;
    if (stop.aborted) connection.close();
    else {
      end();
      done.resolve(connection);
    }
  }

  function onFailed(error: unknown): void {
    underWay--;
    if (stop.aborted || underWay > 0) return;
    clearTimeout(timer);
    if (started < remotes.length) start();
    else done.reject(error);
  }
}
