/** The one error that this library throws, whatever road a refusal came by. */
import { durationMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from "@parley/gen/google/rpc/error_details_pb";
import type { Refused } from "@parley/gen/parley/realtime/v1/frame_pb";

export type ParleyErrorInit = {
  readonly code: Code;
  readonly reason: string;
  readonly message: string;
  readonly field?: string | undefined;
  readonly retryAfterMs?: number | undefined;
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  readonly cause?: unknown;
};

/** A refusal or a failure. `reason` is for programs and stable; `message` is for people who develop clients. */
export class ParleyError extends Error {
  override readonly name = "ParleyError";
  /** The status code: whose fault it is, and what kind of answer makes sense. */
  readonly code: Code;
  /** Why, in UPPER_SNAKE_CASE: the server's reason, or one of `ClientReason`. */
  readonly reason: string;
  /** The field that is wrong, for `INVALID_ARGUMENT`. */
  readonly field: string | undefined;
  /** When to repeat, in ms from now; undefined when the server does not say. */
  readonly retryAfterMs: number | undefined;
  /** Further facts, for example the user ids that a refusal names. */
  readonly metadata: Readonly<Record<string, string>>;

  constructor(init: ParleyErrorInit) {
    super(init.message, init.cause === undefined ? undefined : { cause: init.cause });
    this.code = init.code;
    this.reason = init.reason;
    this.field = init.field;
    this.retryAfterMs = init.retryAfterMs;
    this.metadata = init.metadata ?? {};
  }
}

/** Reasons that this library gives itself, for what no server refused. */
export type ClientReason =
  /** The server could not be reached, or the connection broke before the answer. */
  | "NETWORK"
  /** The answer did not come in time; the outcome is unknown. */
  | "TIMEOUT"
  /** There is no account in the storage: sign up or sign in first. */
  | "SIGNED_OUT"
  /** The client was closed. */
  | "CLOSED"
  /** Something was asked for that needs an open session. */
  | "NOT_CONNECTED"
  /** The outbox holds as many messages as it may. */
  | "OUTBOX_FULL"
  /** The message was discarded before the server had it. */
  | "DISCARDED"
  /** An attempt's outcome stayed unknown for so long that repeating could make a duplicate. */
  | "OUTCOME_UNKNOWN"
  /** Whoever iterates over messages did not keep up. */
  | "SLOW_CONSUMER"
  /** The server said something that the contract does not allow. */
  | "PROTOCOL";

/** Creates an error that this library gives itself. */
export function clientError(
  code: Code,
  reason: ClientReason,
  message: string,
  cause?: unknown,
): ParleyError {
  return new ParleyError({ code, reason, message, cause });
}

/** Any caught value as a `ParleyError`. */
export function toParleyError(error: unknown): ParleyError {
  if (error instanceof ParleyError) return error;
  if (error instanceof ConnectError) return fromConnectError(error);
  const message = error instanceof Error ? error.message : String(error);
  return new ParleyError({ code: Code.Unknown, reason: "UNKNOWN", message, cause: error });
}

function fromConnectError(error: ConnectError): ParleyError {
  // What a server did not send itself comes without details; `fetch` rejects with a TypeError as the cause.
  if (error.cause instanceof ParleyError) return error.cause;
  const info = error.findDetails(ErrorInfoSchema)[0];
  if (!info) return withoutDetails(error);
  const violation = error.findDetails(BadRequestSchema)[0]?.fieldViolations[0];
  const delay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
  return new ParleyError({
    code: error.code,
    reason: info.reason,
    message: error.rawMessage,
    field: violation?.field ?? info.metadata.field,
    retryAfterMs: delay && durationMs(delay),
    metadata: info.metadata,
    cause: error,
  });
}

function withoutDetails(error: ConnectError): ParleyError {
  if (error.code === Code.DeadlineExceeded) {
    return clientError(Code.DeadlineExceeded, "TIMEOUT", "The answer did not come in time.", error);
  }
  if (error.code === Code.Unknown || error.code === Code.Unavailable) {
    const text = error.cause instanceof Error ? error.cause.message : error.rawMessage;
    return clientError(Code.Unavailable, "NETWORK", `The server was not reached: ${text}`, error);
  }
  const reason = Code[error.code]?.replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase() ?? "UNKNOWN";
  return new ParleyError({ code: error.code, reason, message: error.rawMessage, cause: error });
}

/** A refusal that came as a frame of a session. */
export function fromRefused(refused: Refused): ParleyError {
  return new ParleyError({
    code: Code[refused.code] === undefined ? Code.Unknown : (refused.code as Code),
    reason: refused.reason,
    message: refused.description,
    field: refused.field === "" ? undefined : refused.field,
    retryAfterMs: refused.retryDelay && durationMs(refused.retryDelay),
    metadata: refused.metadata,
  });
}

/** True if repeating the same request later can succeed: nothing was decided against it. */
export function isTransient(error: ParleyError): boolean {
  switch (error.code) {
    case Code.Unavailable:
    case Code.DeadlineExceeded:
    case Code.Aborted:
    case Code.Canceled:
    case Code.Unknown:
    case Code.ResourceExhausted:
      return error.reason !== "OUTBOX_FULL" && error.reason !== "SLOW_CONSUMER";
    default:
      return false;
  }
}
