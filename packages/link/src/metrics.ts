import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Endpoint } from '@ztna/quic';
import type { Logger } from '@ztna/runtime';
import type { Metrics } from '@ztna/runtime/metrics';
import type { CountOutput, EventOutput, PathVerdict } from '@ztna/session';
import { sentenceOf } from './sentences.ts';

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
    else log[output.level]({ event: output.event, ...output.fields }, sentenceOf(output.event));
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
  const stats = shared(() => endpoint.stats().catch(() => undefined));
  metrics.gauge({
    name: 'quic_connections',
    help: 'Connections of the UDP socket, inner ones included',
    collect: async (gauge) => gauge.set((await stats())?.connections ?? 0),
  });
  metrics.gauge({
    name: 'udp_packets',
    help: 'Packets on the UDP socket since the start',
    labels: ['direction'],
    async collect(gauge) {
      const { udp } = (await stats()) ?? {};
      gauge.set({ direction: 'in' }, udp?.rxPackets ?? 0);
      gauge.set({ direction: 'out' }, udp?.txPackets ?? 0);
    },
  });
  metrics.gauge({
    name: 'quic_unread_bytes',
    help: 'What sessions may hold beyond their windows for flows whose application or backend does not read',
    collect: async (gauge) => gauge.set((await stats())?.unreadGranted ?? 0),
  });
  metrics.gauge({
    name: 'quic_drops',
    help: 'What the QUIC thread dropped since the start, by cause',
    labels: ['cause'],
    async collect(gauge) {
      for (const [cause, count] of Object.entries((await stats())?.drops ?? {})) gauge.set({ cause }, count);
    },
  });
}

/** One question for all who ask while its answer is awaited: the metrics of one scrape. */
export function shared<T>(ask: () => Promise<T>): () => Promise<T> {
  let underWay: Promise<T> | undefined;
  return () => {
    underWay ??= ask().finally(() => {
      underWay = undefined;
    });
    return underWay;
  };
}

/** How many sessions travel how, and why not better. */
export function gaugePaths(metrics: Pick<Metrics, 'gauge'>, verdicts: () => readonly PathVerdict[]): void {
  metrics.gauge({
    name: 'session_paths',
    help: 'Sessions by path (direct, relayed, waiting, none) and by the reason why it is not a better one',
    labels: ['path', 'reason'],
    collect(gauge) {
      gauge.reset();
      for (const { path, reason = '' } of verdicts()) gauge.inc({ path, reason });
    },
  });
}
