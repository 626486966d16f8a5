import { type Agent, type Flow, startAgent } from '@ztna/agent';
import { type Connector, startConnector } from '@ztna/connector';
import { type Intermediate, startIntermediate } from '@ztna/intermediate';
import type { FlowRecord } from '@ztna/session';
import type { ServiceName } from '@ztna/wire';
import { listenTcp } from './listen.ts';
import { Site, type Topology, testLog } from './site.ts';

const SERVICE = 'echo' as ServiceName;

export interface WorldOptions {
  readonly direct?: Topology['direct'];
  readonly spare?: boolean;
}

/** Intermediate, connector and agent, which take loopback for a network. */
export async function startWorld(
  cleanup: AsyncDisposableStack,
  { direct, spare = false }: WorldOptions = {},
) {
  const site = cleanup.use(await Site.create());
  const ports = [
    { transport: 'tcp', port: 80, backend: await listenTcp(cleanup), allowLocal: true } as const,
  ];
  const services = [{ name: SERVICE, ports }];
  let topology: Topology = { intermediate: '127.0.0.1:1', services, granted: [SERVICE] };
  topology = { ...topology, ...(direct && { direct }), ...(spare && { spare: '127.0.0.1:2' }) };
  site.publish(topology);
  const relayLog = testLog('relay');
  const spareLog = testLog('spare');
  const relay = cleanup.use(await startIntermediate({ config: site.intermediate(), log: relayLog.log }));
  topology = { ...topology, intermediate: relay.listen };
  let second: Intermediate | undefined;
  if (spare) {
    const config = site.intermediate('127.0.0.1:0', 'spare');
    second = cleanup.use(await startIntermediate({ config, log: spareLog.log }));
    topology = { ...topology, spare: second.listen };
  }
  site.publish(topology);
  await Promise.all([relay.reload(), second?.reload()]);
  const records: FlowRecord[] = [];
  const agentLog = testLog('agent');
  const connectorBegins = async (): Promise<Connector> => {
    const registered = Promise.withResolvers<void>();
    const made = await startConnector({
      ...{ config: withLoopback(site.connector()), log: testLog('connector').log },
      onRecord: (record) => void records.push(record),
      onRegistered: (count) => count === (spare ? 2 : 1) && registered.resolve(),
    });
    await registered.promise;
    return made;
  };
  const agentBegins = async (): Promise<Agent> => {
    const config = withLoopback(site.agent({ openTimeoutMs: 5_000 }));
    return startAgent({ config, log: agentLog.log });
  };
  const connector = cleanup.use(await connectorBegins());
  const agent = cleanup.use(await agentBegins());
  return {
    ...{ relay, spare: second, connector, agent, records, relayLog, spareLog, agentLog },
    ...{ connectorBegins, agentBegins },
    intermediateBegins: () =>
      startIntermediate({ config: site.intermediate(relay.listen), log: relayLog.log }),
    async open(by = agent): Promise<Flow> {
      const flow = await by.openFlow({ service: SERVICE, transport: 'tcp', port: 80 });
      await flow.result();
      return flow;
    },
    /** How the one session travels. */
    path: async () => (await agent.status()).sessions[0]?.path,
    async publish(changes: Partial<Topology>) {
      site.publish({ ...topology, ...changes });
      await Promise.all([relay.reload(), connector.reload(), agent.reload()]);
    },
  };
}

function withLoopback<C extends { readonly direct: object }>(config: C): C {
  return { ...config, direct: { ...config.direct, allowLoopback: true } };
}

export async function echoed({ stream }: Flow, text: string): Promise<string> {
  await stream.write(Buffer.from(text));
  let back = '';
  while (back.length < text.length) {
    const chunk = await stream.read();
    if (chunk === null) break;
    back += Buffer.from(chunk).toString();
  }
  return back;
}
