import type { ConnectError } from "@connectrpc/connect";
import { unavailable } from "../../errors.ts";

/** What a caller waits before it repeats: about what a connection needs to come back. */
const RETRY_AFTER_MS = 500;

/** Replies that say "not now": it loads, moves, fails over, is full or may not be written at the moment. */
const TEMPORARY =
  /^(LOADING|BUSY|CLUSTERDOWN|MASTERDOWN|READONLY|TRYAGAIN|MOVED|ASK|OOM|NOREPLICAS|MISCONF|NOAUTH|WRONGPASS|NOPERM)\b/;

/**
 * What callers are told. A server that cannot be reached or cannot answer now is `unavailable`: whether the
 * command was carried out is unknown, and the caller repeats it. A reply that says that the command itself is
 * wrong is our bug and stays what it is.
 */
export function toRefusal(error: unknown): unknown {
  const replied = error instanceof Error && error.name === "ReplyError";
  if (replied && !TEMPORARY.test(error.message)) return error;
  return redisUnavailable("Redis does not answer.", error);
}

/** The refusal of everything that needs Redis while it cannot be used. */
export function redisUnavailable(text: string, cause?: unknown): ConnectError {
  return unavailable("REDIS_UNAVAILABLE", text, { retryAfterMs: RETRY_AFTER_MS, cause });
}
