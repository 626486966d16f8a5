import type { ComponentStatus } from '@ztna/link';
import { type Check, ok, skip, warn } from './check.ts';

/** What the network's gateway told an agent that runs; nobody is asked for this. */
export function checkPortMapping(running: readonly ComponentStatus[]): Check {
  const mapping = running.flatMap((status) =>
    status.component === 'agent' && status.portMapping ? [status.portMapping] : [],
  )[0];
  if (!mapping) return skip('port-mapping', 'needs an agent that runs: it asks the router');
  const { state, detail, external, protocol, gateway, asked, behindAnotherNat } = mapping;
  const facts = { state, ...(external !== undefined && { external }) };
  if (external !== undefined && behindAnotherNat) {
    const finding = {
      code: 'mapping-behind-nat',
      message: `the router maps our port to ${external}, a private address: it is behind another NAT`,
      remedy:
        'nothing, if direct paths come about or relayed traffic is fast enough; else IPv6, or a public address',
    };
    return warn('port-mapping', finding, facts);
  }
  if (external !== undefined) return ok('port-mapping', `${external} by ${protocol} of ${gateway}`, facts);
  if (state === 'idle') return ok('port-mapping', 'not asked for: no session may be direct so far', facts);
  if (detail !== undefined) return ok('port-mapping', `none: ${detail}`, facts);
  const answers = asked.map((one) => `${one.protocol} ${one.outcome}`).join('; ');
  return ok('port-mapping', `none: ${gateway ?? 'the router'} is asked: ${answers || 'now'}`, facts);
}
