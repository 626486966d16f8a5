import type { Metrics } from '@ztna/runtime/metrics';
import type { ConnectorCore } from '@ztna/session';

/** What an operator sees of the core. */
export function observeState(metrics: Metrics, core: ConnectorCore): void {
  const of = (name: string, help: string, value: () => number) =>
    metrics.gauge({ name, help, collect: (gauge) => gauge.set(value()) });
  of('intermediates', 'Intermediates that it is connected to', () => core.stats().connected);
  of('sessions', 'Sessions that are open', () => core.stats().sessions);
  of('flows', 'Flows that are open', () => core.stats().flows);
  of('pending_dials', 'Connections to backends that are being opened', () => core.stats().pendingDials);
}
