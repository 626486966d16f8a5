import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Endpoint } from '@ztna/quic';
import type { Logger } from '@ztna/runtime';
import type { Metrics } from '@ztna/runtime/metrics';
import type { CountOutput, EventOutput } from '@ztna/session';

/** Sampling of the event loop's lag, in ms. */
const RESOLUTION_MS = 10;

/** Metrics that every component with a core and an endpoint has, and where a core's `event` and `count` go. */
export function observeCore(metrics: Metrics, log: Logger, endpoint: Endpoint) {
  const counted = metrics.counter({
    name: 'core_events_total',
    help: 'What the session core counted',
    labels: ['metric', 'cause'],
  });
  gaugeEventLoop(metrics);
  gaugeEndpoint(metrics, endpoint);
  return (output: EventOutput | CountOutput): void => {
    if (output.type === 'count') counted.inc({ metric: output.metric, cause: output.cause });
    else log[output.level](output.fields, output.event);
  };
}

function gaugeEventLoop(metrics: Metrics): void {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delay.enable();
  metrics.gauge({
    name: 'event_loop_lag_p99_seconds',
    help: 'Lag of the event loop since the last scrape, 99th percentile',
    collect(gauge) {
      gauge.set(Math.max(0, delay.percentile(99) / 1e9 - RESOLUTION_MS / 1e3));
      delay.reset();
    },
  });
}

function gaugeEndpoint(metrics: Metrics, endpoint: Endpoint): void {
  const packets = metrics.gauge({
    name: 'udp_packets',
    help: 'Packets on the UDP socket since the start',
    labels: ['direction'],
  });
  const drops = metrics.gauge({
    name: 'quic_drops',
    help: 'What the QUIC thread dropped since the start, by cause',
    labels: ['cause'],
  });
  metrics.gauge({
    name: 'quic_connections',
    help: 'Connections of the UDP socket, inner ones included',
    async collect(gauge) {
      const stats = await endpoint.stats().catch(() => undefined);
      if (stats === undefined) return;
      gauge.set(stats.connections);
      packets.set({ direction: 'in' }, stats.udp.rxPackets);
      packets.set({ direction: 'out' }, stats.udp.txPackets);
      for (const [cause, count] of Object.entries(stats.drops)) drops.set({ cause }, count);
    },
  });
}
