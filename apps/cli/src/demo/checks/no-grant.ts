import { readFileSync } from 'node:fs';
import { buffer } from 'node:stream/consumers';
import { serviceNames } from '../system/names.ts';
import { type Check, type CheckContext, hold } from './check.ts';
import { get } from './http.ts';
import { socksConnect } from './socks.ts';

/**
 * An enrolled agent, with a certificate of the same authority, asks for a service that was taken from it; its own
 * snapshot, now out of date, still names it. It must be refused by policy while the granted agent is served.
 */
export const noGrant: Check = {
  name: 'no-grant',
  title: 'an identity without a grant is refused',
  timeoutMs: 30_000,
  async run(context) {
    const { visitorProxy, processes, signal } = context;
    await grantedWorks(context);
    const to = { host: `${serviceNames.web}.ztna.internal`, port: 80 };
    using attempt = await socksConnect(visitorProxy, to, signal);
    await grantedWorks(context);
    const { answer } = attempt;
    hold(answer !== 'succeeded', 'it was let in');
    hold(answer === 'not-allowed', `it failed, but for another reason: ${answer}`);
    const log = readFileSync(processes.visitor.logFile, 'utf8');
    hold(log.includes('not-authorized'), 'it was refused, but nobody said not-authorized');
    return { detail: 'not-authorized, while the granted agent was served', bytes: 0 };
  },
};

async function grantedWorks({ http, signal }: CheckContext): Promise<void> {
  const response = await get(http, '/health', signal);
  await buffer(response);
  hold(response.statusCode === 200, 'the granted agent is not served either');
}
