/** Logs, metrics and traces of one process, created once and handed to whoever reports something. */
import {
  createLogger,
  createSilentLogger,
  type LogDestination,
  type Logger,
  type LogLevel,
} from "./logger.ts";
import { createMetrics, type Metrics } from "./metrics.ts";
import { createTracer, type Tracer, type TracingOptions } from "./tracer.ts";

export type Telemetry = AsyncDisposable & {
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly tracer: Tracer;
  /** Whether fields marked personal are shown in logs. */
  readonly showPersonal: boolean;
};

export type TelemetryOptions = {
  readonly serviceName: string;
  readonly logLevel: LogLevel;
  readonly logFormat: "json" | "line";
  /** Where log lines go; a process passes its standard output. Without one nothing is logged. */
  readonly logDestination?: LogDestination;
  /** Without it no span is kept. */
  readonly tracing?: TracingOptions;
  readonly showPersonal: boolean;
  /** Adds Node's own figures to the metrics; default false, so that tests stay quick. */
  readonly processMetrics?: boolean;
};

/** Creates the three. Disposing it sends the spans that are still waiting. */
export function createTelemetry(options: TelemetryOptions): Telemetry {
  const { serviceName, logDestination } = options;
  const log =
    logDestination === undefined
      ? createSilentLogger()
      : createLogger({
          serviceName,
          level: options.logLevel,
          format: options.logFormat,
          destination: logDestination,
        });
  const metrics = createMetrics({ process: options.processMetrics === true });
  const tracer = createTracer(serviceName, options.tracing, { log, metrics });
  return {
    log,
    metrics,
    tracer,
    showPersonal: options.showPersonal,
    [Symbol.asyncDispose]: () => tracer[Symbol.asyncDispose](),
  };
}

/** Telemetry that writes nothing and still counts; for tests. */
export function silentTelemetry(): Telemetry {
  return createTelemetry({
    serviceName: "test",
    logLevel: "silent",
    logFormat: "json",
    showPersonal: false,
  });
}
