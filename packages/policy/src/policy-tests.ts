import type { ServiceName, SnapshotContent, SpiffeId } from '@ztna/wire';
import { compile, idsOf } from './compile.ts';
import type { Configuration } from './document/configuration.ts';
import { mayBeServedBy, mayOpenFlow, mayOpenSession } from './evaluate.ts';

/** How one entry of `tests` came out. */
export interface PolicyTestResult {
  readonly index: number;
  readonly who: string;
  readonly service: string;
  readonly expected: 'allow' | 'deny';
  readonly actual: 'allow' | 'deny';
  /** The rule that allowed, or the reason of the denial. */
  readonly why: string;
}

/**
 * Runs the document's tests against what the components would decide by the snapshots compiled from it: the
 * intermediate's answer, then the agent's, then the connector's. All must allow; `passed` means as expected.
 */
export function runPolicyTests(configuration: Configuration): PolicyTestResult[] {
  const ids = idsOf(configuration);
  const contents = new Map(compile(configuration).map(({ audience, content }) => [audience, content]));
  const subjects = new Map(configuration.agents.map(({ name, subject }) => [name, subject]));
  return configuration.tests.map((test, index) => {
    const agent = ids.agent(test.who);
    const verdict = decide(contents, agent, test.service as ServiceName, test);
    const expected = test.expect;
    return { index, who: test.who, service: test.service, expected, ...verdict };
  });

  function decide(
    all: ReadonlyMap<SpiffeId, SnapshotContent>,
    agent: SpiffeId,
    service: ServiceName,
    test: { who: string; transport?: 'tcp' | 'udp'; port?: number },
  ): { actual: 'allow' | 'deny'; why: string } {
    const denied = (why: string) => ({ actual: 'deny' as const, why });
    const own = all.get(agent);
    if (own?.role !== 'agent') return denied('revoked');
    const who = { agent, subject: own.subject };
    if (subjects.get(test.who) !== own.subject) return denied('no-rule');
    let why = 'no-intermediate';
    for (const content of all.values()) {
      if (content.role !== 'intermediate') continue;
      const session = mayOpenSession(content, who, service);
      if (!session.allowed) return denied(session.reason);
      for (const connector of session.connectors) {
        const served = mayBeServedBy(own, service, connector);
        const there = all.get(connector);
        if (!served.allowed) why = served.reason;
        if (!served.allowed || there?.role !== 'connector') continue;
        for (const { transport, port } of portsOf(test, served.service.ports)) {
          const flow = mayOpenFlow(there, who, service, transport, port);
          if (flow.allowed) return { actual: 'allow', why: flow.rule };
          why = flow.reason;
        }
      }
    }
    return denied(why);
  }
}

/** The port that a test names, or all of the service's. */
function portsOf<P extends { readonly transport: 'tcp' | 'udp'; readonly port: number }>(
  test: { transport?: 'tcp' | 'udp'; port?: number },
  ports: readonly P[],
): readonly { readonly transport: 'tcp' | 'udp'; readonly port: number }[] {
  const { transport, port } = test;
  return transport === undefined || port === undefined ? ports : [{ transport, port }];
}
