/** What becomes of the log's problems on Kafka: a line that says what to do, and the log's health. */
import type { Logger } from "../../telemetry/logger.ts";
import type { LogHealth } from "../log-health.ts";
import type { KafkaLogProblem } from "./options.ts";

/** Creates what a log's `onProblem` takes. */
export function createKafkaProblemReport(parts: {
  readonly log: Pick<Logger, "warn" | "error">;
  readonly health: Pick<LogHealth, "stopped">;
}): (problem: KafkaLogProblem) => void {
  const { log, health } = parts;
  return ({ kind, message, ...fields }) => {
    const context = { problem: kind, ...fields };
    switch (kind) {
      case "log-replaced": {
        const text = `${message} Restore the topics, or the stores that belong to them; then restart all servers.`;
        health.stopped(text);
        log.error(context, text);
        return;
      }
      case "delivery-failed":
      case "assign-failed":
        log.error(context, message);
        return;
      // Brokers come and go; whoever is affected repeats.
      case "append-failed":
      case "commit-failed":
      case "consumer-lost":
        log.warn(context, message);
        return;
      default:
        kind satisfies never;
    }
  };
}
