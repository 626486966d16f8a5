import type { LimitedLog } from '@ztna/link';
import type { Metrics } from '@ztna/runtime/metrics';
import type { FlowRecord } from '@ztna/session';

const SENTENCES: Readonly<Record<FlowRecord['verdict'], string>> = {
  allowed: 'flow ended',
  refused: 'flow refused',
  cut: 'flow cut',
};

/** Where flow records go: one line each at info, and the figures of all. Of refused ones, which an agent can repeat at will, the first. */
export function makeFlowLog(metrics: Metrics, log: LimitedLog): (record: FlowRecord) => void {
  const flows = metrics.counter({
    name: 'flows_total',
    help: 'Flows that ended, by transport and verdict',
    labels: ['transport', 'verdict'],
  });
  const bytes = metrics.counter({
    name: 'flow_bytes_total',
    help: 'Bytes of TCP flows that ended, towards the backend (sent) and back (received)',
    labels: ['direction'],
  });
  return (record) => {
    const { transport, verdict, sent, received } = record;
    flows.inc({ transport, verdict });
    if (transport === 'tcp') {
      bytes.inc({ direction: 'sent' }, sent);
      bytes.inc({ direction: 'received' }, received);
    }
    const into = verdict === 'refused' ? log : log.unlimited;
    into.info({ event: 'flow.ended', ...lineOf(record) }, SENTENCES[record.verdict]);
  };
}

/** Who, what, how much, how long, and what was decided. */
function lineOf(record: FlowRecord) {
  const { session, agent, subject, service, transport, port, traceId, verdict, reason } = record;
  const { sent, received, openedAtMs, closedAtMs } = record;
  const volume = { sentBytes: sent, receivedBytes: received };
  const times = { openedAt: new Date(openedAtMs).toISOString(), durationMs: closedAtMs - openedAtMs };
  return { session, agent, subject, service, transport, port, ...volume, ...times, verdict, reason, traceId };
}
