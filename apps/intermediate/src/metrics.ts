import { shared } from '@ztna/link';
import type { Metrics } from '@ztna/runtime/metrics';
import type { IntermediateCore } from '@ztna/session';
import type { Forwarding, ForwardTotals } from './forwarding.ts';

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
  const totals = shared(() => forwarding.totals());
  const of = (name: string, help: string, pick: (totals: ForwardTotals) => number) =>
    metrics.gauge({ name, help, collect: async (gauge) => gauge.set(pick(await totals())) });
  of('relay_rules', 'Forwarding rules, two per session', ({ rules }) => rules);
  of('relay_datagrams', 'Datagrams forwarded since the start', ({ forwarded }) => forwarded);
  of('relay_bytes', 'Payload forwarded since the start', ({ bytes }) => bytes);
  metrics.gauge({
    name: 'relay_dropped_datagrams',
    help: 'Datagrams of sessions that were not forwarded since the start, by cause',
    labels: ['cause'],
    async collect(gauge) {
      const { dropped } = await totals();
      for (const [cause, count] of Object.entries(dropped)) gauge.set({ cause }, count);
    },
  });
}
