import type { ConnectError } from "@connectrpc/connect";
import { unavailable } from "../../errors.ts";

/** What a caller waits before it repeats: about what a connection needs to come back. */
const RETRY_AFTER_MS = 500;

/** Replies that say "not now": it loads, moves, fails over, is full or may not be written at the moment. */
const TEMPORARY =
  /^(LOADING|BUSY|CLUSTERDOWN|MASTERDOWN|READONLY|TRYAGAIN|MOVED|ASK|OOM|NOREPLICAS|MISCONF|NOAUTH|WRONGPASS|NOPERM)\b/;

/** A reply that says that the command itself is wrong: our bug. */
export class RedisReplyError extends Error {
  override readonly name = "RedisReplyError";
}

/**
 * What callers are told. A server that cannot be reached or cannot answer now is `unavailable`: whether the
 * command was carried out is unknown, and the caller repeats it. Anything else is a RedisReplyError.
 */
export function toRefusal(error: unknown): unknown {
  const replied = error instanceof Error && error.name === "ReplyError";
  if (replied && !TEMPORARY.test(error.message)) return new RedisReplyError(error.message);
  return redisUnavailable("Redis does not answer.", withoutCommand(error));
}

/** The driver's errors hold the command, whose arguments say who is here and are no matter of the log. */
function withoutCommand(error: unknown): Error {
  return error instanceof Error
    ? new Error(`${error.name}: ${error.message}`)
    : new Error(String(error));
}

/** The refusal of everything that needs Redis while it cannot be used. */
export function redisUnavailable(text: string, cause?: unknown): ConnectError {
  return unavailable("REDIS_UNAVAILABLE", text, { retryAfterMs: RETRY_AFTER_MS, cause });
}
