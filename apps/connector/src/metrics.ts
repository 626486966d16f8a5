import type { Metrics } from '@ztna/runtime/metrics';
import type { ConnectorCore } from '@ztna/session';
import type { Health } from './health.ts';

/** By service of the snapshot, which is whoever signs it to name. */
export function observeHealth(metrics: Metrics, health: Health): void {
  metrics.gauge({
    name: 'service_withdrawn',
    help: '1 for a service that is withdrawn since no TCP backend of it answers, 0 for one that is served',
    labels: ['service'],
    collect(gauge) {
      gauge.reset();
      for (const { name, withdrawn } of health.services()) gauge.set({ service: name }, withdrawn ? 1 : 0);
    },
  });
}

/** What an operator sees of the core. */
export function observeState(metrics: Metrics, core: ConnectorCore): void {
  const of = (name: string, help: string, value: () => number) =>
    metrics.gauge({ name, help, collect: (gauge) => gauge.set(value()) });
  of('intermediates', 'Intermediates that it is connected to', () => core.stats().connected);
  of('sessions', 'Sessions that are open', () => core.stats().sessions);
  of('flows', 'Flows that are open', () => core.stats().flows);
  of('pending_dials', 'Connections to backends that are being opened', () => core.stats().pendingDials);
}
