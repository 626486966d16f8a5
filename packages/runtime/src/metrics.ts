// Entry `@ztna/runtime/metrics`: loads prom-client, so import it when a component starts.
import { Counter, Gauge, Histogram, Registry } from 'prom-client';

export {
  type OperationsServer,
  type OperationsSettings,
  type Readiness,
  serveOperations,
} from './operations.ts';

/** Seconds; from a hundred microseconds to a minute. */
export const durationBuckets = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60];

interface Definition<L extends string> {
  /** Without the prefix `ztna_`; with the unit as its end (`_seconds`, `_bytes`, `_total`). */
  readonly name: string;
  readonly help: string;
  /** Of bounded number only: never an address, an id or a name that peers choose. */
  readonly labels?: readonly L[];
}

/** The metrics of one component; every one carries the label `component`. */
export class Metrics {
  readonly registry = new Registry();

  constructor(component: string, version: string) {
    this.registry.setDefaultLabels({ component });
    this.gauge({ name: 'build_info', help: 'Always 1', labels: ['version', 'node'] }).set(
      { version, node: process.version },
      1,
    );
    const start = performance.timeOrigin / 1000;
    this.gauge({ name: 'start_time_seconds', help: 'When the process started, Unix time' }).set(start);
    this.gauge({
      name: 'resident_memory_bytes',
      help: 'Memory of the process',
      collect: (gauge) => gauge.set(process.memoryUsage.rss()),
    });
  }

  /** Something that only rises. */
  counter<L extends string = never>(d: Definition<L>): Counter<L> {
    return new Counter({ ...this.#common(d) });
  }

  /** Something that rises and falls; `collect` is called before each scrape and may wait. */
  gauge<L extends string = never>(
    d: Definition<L> & { readonly collect?: (gauge: Gauge<L>) => void | Promise<void> },
  ): Gauge<L> {
    const { collect } = d;
    return new Gauge({
      ...this.#common(d),
      ...(collect && {
        collect() {
          return collect(this);
        },
      }),
    });
  }

  /** A distribution; of durations in seconds, if nothing else is said. */
  histogram<L extends string = never>(d: Definition<L> & { readonly buckets?: number[] }): Histogram<L> {
    return new Histogram({ ...this.#common(d), buckets: d.buckets ?? durationBuckets });
  }

  #common<L extends string>({ name, help, labels }: Definition<L>) {
    return { name: `ztna_${name}`, help, labelNames: labels ?? [], registers: [this.registry] };
  }
}
