/** Prometheus metrics in a registry of their own: two processes' worth of services can live in one. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";

export type { Counter, Gauge, Histogram } from "prom-client";

export type Metrics = {
  /** A value that only grows. The name starts with `parley_` and ends with `_total`. */
  counter<const L extends string = never>(
    name: string,
    help: string,
    labels?: readonly L[],
  ): Counter<L>;
  /** A value that goes up and down. `collect` is called before each reading, which waits for it. */
  gauge<const L extends string = never>(
    name: string,
    help: string,
    labels?: readonly L[],
    collect?: (gauge: Gauge<L>) => void | Promise<void>,
  ): Gauge<L>;
  /** A distribution; the name ends with its unit (`_seconds`, `_bytes`). Buckets default to seconds, 0.5 ms to 30 s. */
  histogram<const L extends string = never>(
    name: string,
    help: string,
    labels?: readonly L[],
    buckets?: readonly number[],
  ): Histogram<L>;
  /** Everything, in the Prometheus text format. */
  renderMetrics(): Promise<string>;
  /** The content type of `renderMetrics`. */
  readonly contentType: string;
};

/** From half a millisecond (an answer out of memory) to the longest deadline. */
const LATENCY_BUCKETS_SECONDS = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
];

const NAME = /^parley_[a-z0-9_]+$/;

/**
 * Creates an empty registry; `process` adds Node's own figures (memory, event loop, collections). Asking
 * again for a name of the same kind gives the same metric; another kind under that name throws.
 */
export function createMetrics(options: { readonly process?: boolean } = {}): Metrics {
  const registry = new Registry();
  if (options.process === true) collectDefaultMetrics({ register: registry, prefix: "parley_" });

  const known = <M extends object>(name: string, kind: abstract new (...args: never[]) => M) => {
    if (!NAME.test(name)) throw new Error(`the metric ${name} is not named parley_…`);
    const metric: unknown = registry.getSingleMetric(name);
    if (metric === undefined) return undefined;
    if (metric instanceof kind) return metric;
    throw new Error(`the metric ${name} exists and is no ${kind.name}`);
  };

  return {
    counter<L extends string>(name: string, help: string, labels: readonly L[] = []) {
      const found = known(name, Counter) as Counter<L> | undefined;
      return found ?? new Counter<L>({ name, help, labelNames: labels, registers: [registry] });
    },
    gauge<L extends string>(
      name: string,
      help: string,
      labels: readonly L[] = [],
      collect?: (gauge: Gauge<L>) => void | Promise<void>,
    ) {
      const found = known(name, Gauge) as Gauge<L> | undefined;
      if (found !== undefined) return found;
      return new Gauge<L>({
        name,
        help,
        labelNames: labels,
        registers: [registry],
        ...(collect === undefined
          ? {}
          : {
              collect() {
                return collect(this);
              },
            }),
      });
    },
    histogram<L extends string>(
      name: string,
      help: string,
      labels: readonly L[] = [],
      buckets: readonly number[] = LATENCY_BUCKETS_SECONDS,
    ) {
      const found = known(name, Histogram) as Histogram<L> | undefined;
      return (
        found ??
        new Histogram<L>({
          name,
          help,
          labelNames: labels,
          buckets: [...buckets],
          registers: [registry],
        })
      );
    },
    renderMetrics: () => registry.metrics(),
    contentType: registry.contentType,
  };
}
