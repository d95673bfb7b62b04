/** What becomes of the embedded log's problems: a line that says what to do, and the log's health. */
import type { Logger } from "../../telemetry/logger.ts";
import type { LogHealth } from "../log-health.ts";
import { placeOf } from "../observed-log.ts";
import { LogCorruptError } from "./errors.ts";
import type { LogProblem } from "./options.ts";

type DeliveryProblem = Extract<LogProblem, { kind: "delivery-failed" }>;

/** Creates what a log's `onProblem` takes. */
export function createProblemReport(parts: {
  readonly log: Pick<Logger, "warn" | "error">;
  readonly health: Pick<LogHealth, "stopped" | "damaged">;
}): (problem: LogProblem) => void {
  const { log, health } = parts;
  return (problem) => {
    const { kind: what, message, ...fields } = problem;
    switch (problem.kind) {
      case "torn-tail-cut":
        log.warn({ problem: what, ...fields }, message);
        return;
      case "retention-failed":
        log.error({ problem: what, ...fields }, message);
        return;
      case "write-failed": {
        // Nothing can be acknowledged any more: whoever balances load should know, and an operator act.
        const text = `${message} ${remedyFor(problem.error)}`;
        health.stopped(text);
        log.error({ problem: what, ...fields }, text);
        return;
      }
      case "delivery-failed":
        if (problem.error instanceof LogCorruptError)
          health.damaged(placeOf(problem), damage(problem));
        // The same records come again every few seconds: the first lines say what, later ones that it lasts.
        if (isPowerOfTwo(problem.attempt)) log.error({ problem: what, ...fields }, message);
    }
  };
}

function damage({ group, offset, error, ...place }: DeliveryProblem): string {
  const text = error instanceof Error ? error.message : String(error);
  return `Group ${group} stands still at ${placeOf(place)}, offset ${offset}: ${text}`;
}

/** Codes of the system that an operator can do something about. */
const FULL = new Set(["ENOSPC", "EDQUOT"]);

function remedyFor(error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : "an unknown error";
  if (FULL.has(code)) return `The disk is full (${code}): make room, then restart the server.`;
  return `The disk does not take writes (${code}): look at it, then restart the server.`;
}

function isPowerOfTwo(value: number): boolean {
  return Number.isInteger(Math.log2(value));
}
