import { isIP } from 'node:net';
import { type Resolver, resolveHost, systemResolver } from '@ztna/link';
import { QuicError } from '@ztna/quic';
import type { DialFailure } from '@ztna/session';
import { formatHostPort, type HostPort, type Target } from '@ztna/wire';
import { type FilterOptions, forbids } from './address-filter.ts';

export interface DialerOptions {
  /** For a whole dial: name resolution and all addresses, in ms. */
  readonly timeoutMs: number;
  /** Ports on which this process listens, as of now. */
  readonly ownPorts: () => readonly number[];
  readonly resolver?: Resolver;
}

/** Why a backend was not reached. */
export interface DialRefusal {
  readonly ok: false;
  readonly code: DialFailure;
  readonly reason: string;
}

export type Resolved = { readonly ok: true; readonly addresses: readonly string[] } | DialRefusal;
export type Dialled<T> = { readonly ok: true; readonly value: T } | DialRefusal;

/** One attempt. Throws a QuicError ERR_TCP_*. */
export type Attempt<T> = (address: string, timeoutMs: number) => Promise<T>;

type Place = Pick<Target, 'backend' | 'allowLocal'>;

/**
 * Reaches backends. A name is resolved first, then its addresses are filtered, then those very addresses are dialled,
 * so that a name cannot lead elsewhere between the check and the use.
 */
export class Dialer {
  readonly #options: DialerOptions;

  constructor(options: DialerOptions) {
    this.#options = options;
  }

  /** `ip:port` of a backend's addresses that may be dialled; at least one. */
  async resolve(target: Place, timeoutMs = this.#options.timeoutMs): Promise<Resolved> {
    const { backend, allowLocal } = target;
    const found = await this.#lookup(backend, timeoutMs);
    if (!Array.isArray(found)) return found;
    const filter: FilterOptions = { allowLocal, ownPorts: this.#options.ownPorts() };
    const judged = found.map((ip) => ({ ip, forbidden: forbids(ip, backend.port, filter) }));
    const usable = judged.filter(({ forbidden }) => forbidden === undefined);
    if (usable.length === 0) return forbiddenRefusal(backend, judged[0]?.forbidden);
    const addresses = usable.map(({ ip }) => formatHostPort({ host: ip, port: backend.port }));
    return { ok: true, addresses };
  }

  /** Tries the addresses of a backend in order; gives what the first success gave. */
  async tcp<T>(target: Place, attempt: Attempt<T>, timeoutMs = this.#options.timeoutMs): Promise<Dialled<T>> {
    const deadline = performance.now() + timeoutMs;
    const resolved = await this.resolve(target, timeoutMs);
    if (!resolved.ok) return resolved;
    let last: DialRefusal = refusal('backend-timeout', `no answer within ${timeoutMs} ms`);
    for (const [index, address] of resolved.addresses.entries()) {
      const left = deadline - performance.now();
      if (left <= 0) break;
      // Later addresses get their turn even when the first one says nothing.
      const share = left / (resolved.addresses.length - index);
      const limit = Math.max(1, Math.round(share));
      try {
        return { ok: true, value: await attempt(address, limit) };
      } catch (error) {
        last = dialError(error, limit);
      }
    }
    return last;
  }

  async #lookup({ host }: HostPort, timeoutMs: number): Promise<string[] | DialRefusal> {
    if (isIP(host)) return [host];
    const late = Promise.withResolvers<DialRefusal>();
    const tooLate = () =>
      late.resolve(refusal('backend-name', `${host} was not resolved in ${timeoutMs} ms`));
    const timer = setTimeout(tooLate, timeoutMs);
    const resolving = resolveHost(host, this.#options.resolver ?? systemResolver).then(
      (found) => (found.length > 0 ? found : refusal('backend-name', `${host} has no address`)),
      (error: NodeJS.ErrnoException) =>
        refusal('backend-name', `${host} cannot be resolved (${error.code ?? error.message})`),
    );
    return Promise.race([resolving, late.promise]).finally(() => clearTimeout(timer));
  }
}

/** What an attempt threw, as the agent is told it. */
function dialError(error: unknown, timeoutMs: number): DialRefusal {
  switch (error instanceof QuicError ? error.code : undefined) {
    case 'ERR_TCP_REFUSED':
      return refusal('backend-refused', 'the backend refused the connection');
    case 'ERR_TCP_RESET':
      return refusal('backend-refused', 'the backend reset the connection at once');
    case 'ERR_TCP_UNREACHABLE':
      return refusal('backend-unreachable', 'there is no way to the backend');
    case 'ERR_TCP_TIMEOUT':
      return refusal('backend-timeout', `the backend did not answer within ${timeoutMs} ms`);
    default:
      return refusal('internal', error instanceof Error ? error.message : String(error));
  }
}

function forbiddenRefusal(backend: HostPort, why = 'unspecified'): DialRefusal {
  return refusal(
    'backend-forbidden',
    `${backend.host} is a ${why} address; the service may name it with allowLocal`,
  );
}

function refusal(code: DialFailure, reason: string): DialRefusal {
  return { ok: false, code, reason };
}
