import type { Metrics } from '@ztna/runtime/metrics';
import type { IntermediateCore } from '@ztna/session';
import type { Forwarding } from './forwarding.ts';

/** What an operator sees of the core. */
export function observeState(metrics: Metrics, core: IntermediateCore): void {
  const of = (name: string, help: string, value: () => number) =>
    metrics.gauge({ name, help, collect: (gauge) => gauge.set(value()) });
  of('peers', 'Agents and connectors that are connected', () => core.stats().peers);
  of('sessions', 'Sessions that were granted and are not over', () => core.stats().sessions);
  of('session_offers', 'Sessions that wait for a connector', () => core.stats().offers);
}

/** Figures of the relay; all are totals since the start except the rules. */
export function observeForwarding(metrics: Metrics, forwarding: Forwarding): void {
  const bytes = metrics.gauge({ name: 'relay_bytes', help: 'Payload forwarded since the start' });
  const datagrams = metrics.gauge({ name: 'relay_datagrams', help: 'Datagrams forwarded since the start' });
  const dropped = metrics.gauge({
    name: 'relay_dropped_datagrams',
    help: 'Datagrams of sessions that were not forwarded since the start, by cause',
    labels: ['cause'],
  });
  metrics.gauge({
    name: 'relay_rules',
    help: 'Forwarding rules, two per session',
    async collect(gauge) {
      const totals = await forwarding.totals();
      gauge.set(totals.rules);
      bytes.set(totals.bytes);
      datagrams.set(totals.forwarded);
      for (const [cause, count] of Object.entries(totals.dropped)) dropped.set({ cause }, count);
    },
  });
}
