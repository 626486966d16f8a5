import { formatIp, reachOf } from './address.ts';
import type { ClientOutput, Failure } from './client.ts';

/** Below this a mapping is not worth having: renewing it would be all that we do. */
export const leastLifetimeSeconds = 60;
/** No gateway is believed for longer (RFC 6887 section 15 recommends this bound). */
export const mostLifetimeSeconds = 86_400;

/** What follows from a gateway's consent: a mapping, or a failure when it makes no sense. */
export function granted(address: Uint8Array, port: number, lifetimeSeconds: number): ClientOutput {
  const external = formatIp(address);
  const reach = reachOf(address);
  if (reach === 'unusable')
    return failed('no-external-address', `the gateway's external address is ${external}`);
  if (port === 0) return failed('bad-answer', 'the external port is 0');
  if (lifetimeSeconds < leastLifetimeSeconds) {
    return failed('lifetime', `the gateway maps for ${lifetimeSeconds} s only`);
  }
  return {
    type: 'mapped',
    external: { address: external, port },
    behindAnotherNat: reach === 'private',
    lifetimeMs: Math.min(lifetimeSeconds, mostLifetimeSeconds) * 1000,
  };
}

export function failed(cause: Failure['cause'], detail: string): ClientOutput {
  return { type: 'failed', failure: { cause, detail } };
}
