/** Structured logs: one JSON object per line, or one readable line on a terminal. */
import { pino } from "pino";
import { reasonOf } from "../errors.ts";
import { currentTraceId } from "./trace-context.ts";

export type LogLevel = "debug" | "info" | "warn" | "error" | "silent";

/** Writes one line; the fields come first, the message is a constant sentence. */
export type LogFunction = {
  (message: string): void;
  (fields: Readonly<Record<string, unknown>>, message: string): void;
};

export type Logger = {
  readonly debug: LogFunction;
  readonly info: LogFunction;
  readonly warn: LogFunction;
  readonly error: LogFunction;
  /** A logger that adds these fields to each line. */
  child(fields: Readonly<Record<string, unknown>>): Logger;
  /** Whether a line of this level would be written; for fields that are dear to make. */
  isLevelEnabled(level: Exclude<LogLevel, "silent">): boolean;
};

/** Where lines go: process.stdout, or an array in a test. Each text ends with a line feed. */
export type LogDestination = { write(line: string): unknown };

export type LoggerOptions = {
  readonly serviceName: string;
  readonly level: LogLevel;
  readonly format: "json" | "line";
  readonly destination: LogDestination;
};

/** Creates a logger. An `error` field becomes {type, message, reason, stack, cause}; the stack is its frames. */
export function createLogger(options: LoggerOptions): Logger {
  const destination =
    options.format === "line" ? lineDestination(options.destination) : options.destination;
  return pino(
    {
      level: options.level,
      base: { service: options.serviceName },
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: (error: unknown) => describeError(error) },
      mixin: traceField,
    },
    { write: (line: string) => void destination.write(line) },
  );
}

/** A logger that writes nothing. */
export function createSilentLogger(): Logger {
  return pino({ level: "silent" }, { write: () => undefined });
}

function traceField(): object {
  const traceId = currentTraceId();
  return traceId === undefined ? {} : { trace_id: traceId };
}

/** Causes that are followed; deeper ones are cut, because a cycle would never end. */
const CAUSE_DEPTH_MAX = 5;

/** An error as fields. Details of a refusal are left out except the reason: they may be personal. */
export function describeError(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return typeof error === "object" ? typeof error : String(error);
  const cause = error.cause;
  return {
    type: error.name,
    message: error.message,
    ...reasonField(error),
    stack: framesOf(error),
    ...(cause === undefined || cause === null || depth >= CAUSE_DEPTH_MAX
      ? {}
      : { cause: describeError(cause, depth + 1) }),
  };
}

const FRAME = /^ +at /;

/** Where it happened, without the message, which V8 repeats in front and which has a field of its own. */
function framesOf(error: Error): string {
  const lines = error.stack?.split("\n") ?? [];
  return lines.filter((line) => FRAME.test(line)).join("\n");
}

function reasonField(error: Error): { reason?: string } {
  const reason = reasonOf(error);
  return reason === undefined ? {} : { reason };
}

const OWN_FIELDS = new Set(["time", "level", "service", "msg", "error"]);

function lineDestination(destination: LogDestination): LogDestination {
  return {
    write(json: string) {
      let line: Line;
      try {
        line = JSON.parse(json) as Line;
      } catch {
        destination.write(json);
        return;
      }
      destination.write(`${formatLine(line)}\n`);
    },
  };
}

type Line = Readonly<Record<string, unknown>> & {
  readonly time?: string;
  readonly level?: string;
  readonly service?: string;
  readonly msg?: string;
  readonly error?: DescribedError | string;
};

type DescribedError = {
  readonly type: string;
  readonly message: string;
  readonly stack: string;
  readonly cause?: DescribedError | string;
};

function formatLine(line: Line): string {
  const time = (line.time ?? "").slice(11, 23);
  const level = (line.level ?? "").toUpperCase().padEnd(5);
  const fields = Object.entries(line)
    .filter(([name]) => !OWN_FIELDS.has(name))
    .map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`);
  const text = [time, level, line.service ?? "", line.msg ?? "", ...fields].join("  ");
  const { error } = line;
  return error === undefined ? text : `${text}\n${formatError(error)}`;
}

function formatError(error: DescribedError | string): string {
  if (typeof error === "string") return error;
  const { type, message, stack, cause } = error;
  const text = `${type}: ${message}${stack === "" ? "" : `\n${stack}`}`;
  return cause === undefined ? text : `${text}\nCaused by ${formatError(cause)}`;
}
