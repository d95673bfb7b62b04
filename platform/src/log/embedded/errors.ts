/** Another process, or another log of this process, has the directory open. */
export class LogLockedError extends Error {
  override readonly name = "LogLockedError";
}

/**
 * Bytes that had been synced are not there any more. Nothing is repaired by guessing: going on would
 * give other offsets to records that were acknowledged. The message says which file and what to do.
 */
export class LogCorruptError extends Error {
  override readonly name = "LogCorruptError";
}

/** The directory holds a log that is not the one that was asked for. The message says what to do. */
export class LogIdentityError extends Error {
  override readonly name = "LogIdentityError";
}
