import { gaugePaths, SOFTWARE_VERSION } from '@ztna/link';
import { parseListenAddress } from '@ztna/runtime';
import type { Agent } from './agent.ts';

/** `/healthz`, `/readyz` and `/metrics`, when the configuration wants them. Throws RuntimeFault `listen-failed`. */
export async function serveAgentOperations(agent: Agent): Promise<AsyncDisposable | undefined> {
  const listen = parseListenAddress(agent.config.metrics.listen);
  if (!listen) return undefined;
  const { Metrics, serveOperations } = await import('@ztna/runtime/metrics');
  const metrics = new Metrics('agent', SOFTWARE_VERSION);
  metrics.gauge({
    name: 'agent_events',
    help: 'What happened since the start: sessions, flows, refusals',
    labels: ['event', 'cause'],
    collect(gauge) {
      for (const [name, count] of Object.entries(agent.observer.counters())) {
        const [event = '', ...cause] = name.split('.');
        gauge.set({ event, cause: cause.join('.') }, count);
      }
    },
  });
  metrics.gauge({
    name: 'agent_flows',
    help: 'Open flows',
    collect: async (gauge) => gauge.set((await agent.status()).flows),
  });
  gaugePaths(metrics, () => agent.pathVerdicts());
  const readiness = () => {
    const reasons = agent.connected ? [] : ['no intermediate is connected'];
    return { ready: reasons.length === 0, reasons };
  };
  return serveOperations({ listen, setting: 'metrics.listen', registry: metrics.registry, readiness });
}
