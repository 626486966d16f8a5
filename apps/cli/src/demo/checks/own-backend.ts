import { type Address, formatAddress } from '@ztna/runtime';
import { serviceNames } from '../system/names.ts';
import { type CheckContext, type Evidence, hold } from './check.ts';
import { type SocksRefusal, socksConnect } from './socks.ts';

export interface OwnContext extends Pick<CheckContext, 'signal'> {
  /** The proxies of the granted agent and of the one without a grant. */
  readonly proxy: Address;
  readonly visitorProxy: Address;
  /** The user's own service, as the connector dials it. */
  readonly backend: Address;
}

/** A connection to the user's own service opens through the session. Nothing is sent to it. */
export const ownConnect = {
  name: 'connect',
  title: 'your service can be connected to',
  timeoutMs: 40_000,
  async run({ proxy, backend, signal }: OwnContext): Promise<Evidence> {
    using attempt = await socksConnect(proxy, target(backend), signal);
    if (attempt.answer !== 'succeeded') throw new Error(explain(attempt.answer, formatAddress(backend)));
    return { detail: `the connector reached ${formatAddress(backend)}`, bytes: 1 };
  },
};

/** The same service refuses the agent without a grant. */
export const ownNoGrant = {
  name: 'no-grant',
  title: 'an identity without a grant is refused',
  timeoutMs: 40_000,
  async run({ visitorProxy, backend, signal }: OwnContext): Promise<Evidence> {
    using attempt = await socksConnect(visitorProxy, target(backend), signal);
    hold(attempt.answer !== 'succeeded', 'it was let in');
    hold(attempt.answer === 'not-allowed', `it failed, but for another reason: ${attempt.answer}`);
    return { detail: 'not-authorized', bytes: 0 };
  },
};

function target({ port }: Address): Address {
  return { host: `${serviceNames.own}.ztna.internal`, port };
}

/** What happened, and what to do. */
export function explain(answer: SocksRefusal, backend: string): string {
  switch (answer) {
    case 'refused':
      return `${backend} refused the connection: nothing listens there; start your service, or correct the port`;
    case 'host-unreachable':
      return `${backend} cannot be reached from this machine: check the name and the route to it`;
    case 'timed-out':
      return `${backend} does not answer: a firewall may drop the packets, or the host is down`;
    case 'not-allowed':
      return `the connector may not dial ${backend}: multicast and unspecified addresses are never allowed`;
    case 'network-unreachable':
      return `no session to the connector came about: see the logs`;
    case 'general-failure':
    case 'not-supported':
      return `the connection to ${backend} failed (${answer}): see the logs`;
    default:
      return answer satisfies never;
  }
}
