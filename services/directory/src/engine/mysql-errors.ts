/** What the driver's errors mean, and what callers are told. */
import { ConnectError } from "@connectrpc/connect";
import { unavailable } from "@parley/platform/errors";

/** A statement that the server refused. The message holds no value of the statement. */
export class MysqlError extends Error {
  override readonly name = "MysqlError";
  /** The server's number (https://mariadb.com/kb/en/mariadb-error-codes/). */
  readonly errno: number;

  constructor(message: string, errno: number) {
    super(message);
    this.errno = errno;
  }
}

const DUPLICATE_KEY = 1062;
export const UNKNOWN_DATABASE = 1049;
export const NO_SUCH_TABLE = 1146;
const ACCESS_DENIED: ReadonlySet<number> = new Set([1044, 1045, 1698, 3118]);

/**
 * Nothing was written, and the same may succeed at once: a deadlock (1213), a lock that was not had in time
 * (1205), a row that changed since the snapshot (1020), a group of servers that rolled a commit back (3101).
 */
const TRANSIENT: ReadonlySet<number> = new Set([1020, 1205, 1213, 3101]);

/**
 * The server cannot do it now, and may later, or another one does: too many connections or users (1040, 1203, 1226),
 * no room (1021, 1114), no node of a cluster in charge (1047), stopping (1053, 1077), the statement or connection
 * killed (1317, 1927, 3024, 3169), became a replica (1290, 1792, 1836).
 */
const TEMPORARY: ReadonlySet<number> = new Set([
  1021, 1040, 1047, 1053, 1077, 1114, 1203, 1226, 1290, 1317, 1792, 1836, 1927, 3024, 3169,
]);

/** What a caller waits before it repeats: about what a connection needs to come back. */
const RETRY_AFTER_MS = 500;
/** Texts end with values where the server quotes them: a key, a text in a wrong encoding, a part of the statement. */
const QUOTED_VALUE = /\b(entry|value:?|near) '[\s\S]*?'(?= (?:for|at)\b|$)/g;

/** Whether a row's primary or unique key exists. */
export function isDuplicateKey(error: unknown): boolean {
  return error instanceof MysqlError && error.errno === DUPLICATE_KEY;
}

/** Whether a transaction only lost against another one. */
export function isTransient(error: unknown): boolean {
  return isRefusalOf(error, TRANSIENT);
}

/** Whether the server does not let this user in. */
export function isAccessDenied(error: unknown): boolean {
  return isRefusalOf(error, ACCESS_DENIED);
}

/** Whether the server did not answer a statement in time. */
export function isTimeout(error: { readonly code?: string }): boolean {
  return /^PROTOCOL_SEQUENCE_TIMEOUT$/.test(error.code ?? "");
}

/** Whether it is one of these numbers of the server, bare or inside of what a caller is told. */
export function isRefusalOf(error: unknown, numbers: ReadonlySet<number>): boolean {
  const inner = error instanceof ConnectError ? error.cause : error;
  return inner instanceof MysqlError && numbers.has(inner.errno);
}

/**
 * What callers are told. `lost` says that the connection cannot be used any more: whether a statement that
 * was on its way was carried out is then unknown, and the caller repeats.
 *
 * The driver's own errors hold the whole statement with names and hashes in it, and go no further.
 */
export function toMysqlRefusal(error: unknown): { readonly error: Error; readonly lost: boolean } {
  const inner = withoutStatement(error);
  if (!(inner instanceof MysqlError)) return { error: databaseUnavailable(inner), lost: true };
  if (TRANSIENT.has(inner.errno)) {
    const text = "Too many changes of the same at once; nothing was changed.";
    return { error: databaseBusy(text, inner), lost: false };
  }
  if (isFatal(error) || TEMPORARY.has(inner.errno)) {
    return { error: databaseUnavailable(inner), lost: true };
  }
  return { error: inner, lost: false };
}

/** Nothing was done: there is too much to do. */
export function databaseBusy(text: string, cause?: unknown): ConnectError {
  return unavailable("DATABASE_BUSY", text, { retryAfterMs: RETRY_AFTER_MS, cause });
}

export function databaseClosed(): ConnectError {
  return unavailable("DATABASE_CLOSED", "The database is closed.");
}

function databaseUnavailable(cause: Error): ConnectError {
  const text = "The database cannot be reached; what became of the call is not known.";
  return unavailable("DATABASE_UNAVAILABLE", text, { retryAfterMs: RETRY_AFTER_MS, cause });
}

function isFatal(error: unknown): boolean {
  return error instanceof Error && "fatal" in error && error.fatal === true;
}

function withoutStatement(error: unknown): Error {
  if (!(error instanceof Error)) return new Error(String(error));
  const code = "code" in error && typeof error.code === "string" ? error.code : error.name;
  if ("sqlState" in error && "errno" in error && typeof error.errno === "number") {
    return new MysqlError(`${code}: ${error.message.replace(QUOTED_VALUE, "$1 …")}`, error.errno);
  }
  return new Error(`${code}: ${error.message}`);
}
