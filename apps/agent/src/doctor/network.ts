import { type Answering, type ComponentStatus, type Problem, silent } from '@ztna/link';
import { parseAddress } from '@ztna/runtime';
import type { AgentConfig } from '@ztna/runtime/config';
import type { IntermediateEntry } from '@ztna/wire';
import { type Check, fail, ok, skip, warn } from './check.ts';
import type { Files } from './files.ts';
import { type Answer, ownAddresses, type ProbeResult, probe, unmapped } from './probe.ts';

/** Intermediates that are tried, and at once. */
const MAX_INTERMEDIATES = 8;
const CLOCK_WARN_MS = 30_000;
const CLOCK_FAIL_MS = 5 * 60_000;

/** Tries every intermediate of the snapshot over one socket. `running`: agents of the same identity. */
export async function checkNetwork(
  config: AgentConfig,
  { identity, trust, snapshot }: Files,
  running: readonly ComponentStatus[],
  signal: AbortSignal,
): Promise<Check[]> {
  if (!identity || !trust || !snapshot) {
    const why = 'needs a certificate and a snapshot that can be used';
    return [skip('name', why), skip('udp', why), skip('nat', why), skip('clock', why)];
  }
  const { bindEndpoint, outerClientTransport } = await import('@ztna/link');
  const { verifyPeer } = await import('@ztna/identity');
  const { certChain, privateKey, trustDomain, tenant } = identity;
  const { revoked, intermediates } = snapshot.content;
  const listen = config.listen.replace(/:\d+$/, ':0'); // beside an agent that runs
  await using endpoint = bindEndpoint(
    { listen, identity: { certChain, privateKey }, trust: { roots: trust.pem } },
    'listen',
  );
  const expected = { trust, trustDomain, tenant, roles: ['intermediate'] as const, revoked };
  const deps = {
    ...{ endpoint, tenant, signal, transport: outerClientTransport(config.transport) },
    verify: (chain: readonly Uint8Array[]) => verifyPeer(chain, Date.now(), expected),
    // Intermediates allow an identity a few connections, and a further one would end that of an agent at work. One that
    // has none there has none to lose, and may be refused.
    hello: ({ name }: IntermediateEntry) => !running.some((status) => isConnected(status, name)),
  };
  const tried = intermediates.slice(0, MAX_INTERMEDIATES);
  const results = await Promise.all(tried.map((to) => probe(to, deps)));
  const port = parseAddress(endpoint.localAddress)?.port ?? 0;
  const clocks = [...results.flatMap(aheadOf), ...running.flatMap(aheadOfRunning)];
  return [
    checkNames(tried, results),
    ...results.map(checkUdp(results, running)),
    checkNat(results, port),
    checkClock(clocks),
  ];
}

function checkNames(tried: readonly IntermediateEntry[], results: readonly ProbeResult[]): Check {
  const lost = results.filter((r) => 'problem' in r && r.problem.code === 'name-unresolved');
  const problems = lost.flatMap((r) => ('problem' in r ? [r.problem] : []));
  const [first] = problems;
  if (!first) {
    const addresses = results.reduce((sum, r) => sum + r.addresses.length, 0);
    return ok('name', `intermediates: ${tried.map(({ name }) => name).join(', ')}; addresses: ${addresses}`);
  }
  const finding = { ...first, message: problems.map(({ message }) => message).join('; ') };
  return lost.length === results.length ? fail('name', finding) : warn('name', finding);
}

function isConnected(status: ComponentStatus, name: string): boolean {
  if (status.component !== 'agent') return false;
  return status.intermediates.some((one) => one.name === name && one.state !== 'connecting');
}

/**
 * `all` are the intermediates that were tried: while one of them answers, UDP is not blocked. Nor is it while direct
 * sessions of `running` agents live; these also know how the last connection ended.
 */
export function checkUdp(all: readonly ProbeResult[], running: readonly ComponentStatus[] = []) {
  const intermediates = all.filter((r) => 'answer' in r).length;
  const someAnswer = intermediates > 0;
  const sessions = running.reduce((sum, status) => sum + directSessions(status), 0);
  const told = someAnswer ? undefined : toldBy(running);
  return (result: ProbeResult): Check => {
    const { intermediate } = result;
    if ('problem' in result) {
      const problem = explained(result, result.problem, { intermediates, sessions }, told);
      const { code, message, remedy } = problem;
      const finding = { code, message: `${intermediate}: ${message}`, remedy };
      if (code === 'name-unresolved')
        return skip('udp', `${intermediate}: needs a name that can be resolved`);
      return (someAnswer ? warn : fail)('udp', finding, { intermediate });
    }
    const { remote, rttMs, observed } = result.answer;
    const seen = observed === undefined ? '' : `, which sees us as ${observed}`;
    const facts = { intermediate, remote, rttMs, ...(observed !== undefined && { observed }) };
    return ok('udp', `${intermediate} answers in ${rttMs} ms from ${remote}${seen}`, facts);
  };
}

/** Whose silence that is: as a running agent has it, or by who else answers. */
function explained(
  { addresses }: ProbeResult,
  problem: Problem,
  answering: Answering,
  told: Problem | undefined,
): Problem {
  const isAbsent = problem.code === 'udp-blocked' || problem.code === 'not-listening';
  if (told && isAbsent) return told;
  if (problem.code !== 'udp-blocked') return problem;
  return silent(
    addresses.map((address) => ({ address })),
    answering,
  );
}

/** What only a process that was connected can know. */
const KNOWN_BY_AGENTS: ReadonlySet<string> = new Set(['intermediate-stopped', 'intermediate-silent']);

function toldBy(running: readonly ComponentStatus[]): Problem | undefined {
  return running.flatMap(({ problems }) => problems).find(({ code }) => KNOWN_BY_AGENTS.has(code));
}

function directSessions(status: ComponentStatus): number {
  if (status.component !== 'agent') return 0;
  return status.sessions.filter(({ path }) => path?.path === 'direct').length;
}

/** What the observed addresses tell of the NAT (RFC 4787 §4.1): the same mapping for every destination, or not. */
export function checkNat(results: readonly ProbeResult[], localPort: number): Check {
  const answers = results.flatMap((r): Answer[] => ('answer' in r ? [r.answer] : []));
  const seen = answers.flatMap(({ observed }) => observedOf(observed));
  if (seen.length === 0) return skip('nat', 'needs an intermediate that tells our address');
  const own = ownAddresses();
  const behind = seen.filter(({ host, port }) => !own.has(host) || port !== localPort);
  if (behind.length === 0) return ok('nat', 'no NAT on the way to the intermediates', { kind: 'none' });
  const byFamily = Map.groupBy(behind, ({ host }) => host.includes(':'));
  const families = [...byFamily.values()];
  const varies = families.some((list) => new Set(list.map(({ host, port }) => `${host} ${port}`)).size > 1);
  if (varies) {
    const finding = {
      code: 'nat-symmetric',
      message: 'a NAT on the way gives another port for each destination: direct paths will mostly fail',
      remedy:
        'nothing, if relayed traffic is fast enough; else let the router map ports alike (endpoint-independent)',
    };
    return warn('nat', finding, { kind: 'symmetric' });
  }
  if (families.some((list) => list.length > 1)) {
    return ok('nat', 'behind a NAT that maps every destination alike', { kind: 'endpoint-independent' });
  }
  return ok('nat', 'behind a NAT; how it maps is not known: that takes two intermediates', {
    kind: 'unknown',
  });
}

function observedOf(observed: string | undefined) {
  const address = observed === undefined ? undefined : parseAddress(observed);
  return address ? [{ host: unmapped(address.host), port: address.port }] : [];
}

function aheadOf(result: ProbeResult): number[] {
  return 'answer' in result ? present(result.answer.clockAheadMs) : [];
}

function aheadOfRunning(status: ComponentStatus): number[] {
  if (status.component !== 'agent') return [];
  return status.intermediates.flatMap(({ clockAheadMs }) => present(clockAheadMs));
}

function present(value: number | undefined): number[] {
  return typeof value === 'number' ? [value] : [];
}

/** `aheadMs`: by how much the clocks of intermediates are ahead of this machine's. */
export function checkClock(aheadMs: readonly number[]): Check {
  const [first] = aheadMs.toSorted((a, b) => Math.abs(a) - Math.abs(b));
  // That certificate and snapshot are valid by it was checked before.
  if (first === undefined)
    return ok('clock', 'fits certificate and snapshot; no intermediate to compare it with');
  const seconds = Math.round(Math.abs(first) / 1000);
  const facts = { aheadMs: first };
  const message = `${seconds} s ${first > 0 ? 'behind' : 'ahead of'} the intermediate's`;
  if (Math.abs(first) < CLOCK_WARN_MS)
    return ok('clock', seconds === 0 ? 'that of the intermediate' : message, facts);
  const finding = {
    code: 'clock-skew',
    message,
    remedy: 'synchronise the clocks of this machine and the intermediate',
  };
  return (Math.abs(first) < CLOCK_FAIL_MS ? warn : fail)('clock', finding, facts);
}
