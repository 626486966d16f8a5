import type { Connection, Endpoint, ForwardRule, ForwardStats } from '@ztna/quic';
import type { ConnectionKey, ForwardingRule } from '@ztna/session';
import { relayPrefix } from '@ztna/wire';

/** Datagrams that were forwarded, and those that were not, since the start of the process. */
export interface ForwardTotals {
  readonly rules: number;
  readonly forwarded: number;
  readonly bytes: number;
  readonly dropped: Readonly<Record<string, number>>;
}

interface Installed {
  readonly rule: ForwardRule;
  last: ForwardStats | undefined;
}

interface Sum {
  forwarded: number;
  bytes: number;
  readonly dropped: Record<string, number>;
}

/** The core's forwarding rules in the QUIC thread. Datagrams never come into JavaScript. */
export class Forwarding {
  readonly #endpoint: Pick<Endpoint, 'forward'>;
  readonly #connection: (peer: ConnectionKey) => Connection | undefined;
  readonly #maxBytesPerSecond: number | undefined;
  readonly #rules = new Map<string, Installed>();
  readonly #ended: Sum = { forwarded: 0, bytes: 0, dropped: {} };

  constructor(options: {
    readonly endpoint: Pick<Endpoint, 'forward'>;
    readonly connection: (peer: ConnectionKey) => Connection | undefined;
    /** Of one session and direction. */
    readonly maxBytesPerSecond: number | undefined;
  }) {
    this.#endpoint = options.endpoint;
    this.#connection = options.connection;
    this.#maxBytesPerSecond = options.maxBytesPerSecond;
  }

  install(rule: ForwardingRule): void {
    const from = this.#connection(rule.from);
    const to = this.#connection(rule.to);
    if (!from || !to) return; // gone already; the core is about to hear of it
    const limit = this.#maxBytesPerSecond;
    const installed = this.#endpoint.forward({
      from,
      to,
      match: relayPrefix(rule.fromRelayId),
      rewrite: relayPrefix(rule.toRelayId),
      ...(limit === undefined ? {} : { maxBytesPerSecond: limit }),
    });
    this.#rules.set(keyOf(rule), { rule: installed, last: undefined });
  }

  remove(rule: ForwardingRule): void {
    const installed = this.#rules.get(keyOf(rule));
    if (!installed) return;
    this.#rules.delete(keyOf(rule));
    void update(installed).then(() => add(this.#ended, installed.last));
    installed.rule.remove();
  }

  /** Asks the QUIC thread for each rule's figures. */
  async totals(): Promise<ForwardTotals> {
    const live = [...this.#rules.values()];
    await Promise.all(live.map(update));
    const sum: Sum = { ...this.#ended, dropped: { ...this.#ended.dropped } };
    for (const { last } of live) add(sum, last);
    return { rules: this.#rules.size, ...sum };
  }
}

function keyOf({ from, fromRelayId }: ForwardingRule): string {
  return `${from}:${fromRelayId}`;
}

/** A rule whose connection is gone keeps its last figures. */
async function update(installed: Installed): Promise<void> {
  const stats = await installed.rule.stats().catch(() => undefined);
  if (stats) installed.last = stats;
}

function add(sum: Sum, stats: ForwardStats | undefined): void {
  if (!stats) return;
  sum.forwarded += stats.forwarded;
  sum.bytes += stats.bytes;
  for (const [cause, count] of Object.entries(stats.dropped)) {
    sum.dropped[cause] = (sum.dropped[cause] ?? 0) + count;
  }
}
