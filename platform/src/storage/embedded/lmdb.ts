/** LMDB environments: opening one, and writing so that a disk that takes no write is an error like any other. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type Key, open, type RootDatabase, type RootDatabaseOptionsWithPath } from "lmdb";
import { checkLmdbFile } from "./lmdb-check.ts";

/**
 * Runs `write`, whose puts and removals take effect together; durable when it resolves, undone when it
 * rejects. Calls take their turn: `write` runs when all before it are done, and what it reads is how they
 * left it.
 */
export type LmdbCommit = (write: () => void) => Promise<void>;

/** Only the server's own account reads what people have written, and when they were there. */
const DIRECTORY_MODE = 0o700;
const FILE_MODE = 0o600;

/** LMDB's name for it. */
const DATA_FILE = "data.mdb";

/** Tables of one environment; each costs some bytes per transaction. LMDB's own default. */
const TABLES_MAX = 12;

export type LmdbOptions = {
  readonly keys: "text" | "bytes";
  /** What an operator can do when the file is damaged: a clause without a full stop. */
  readonly remedy: string;
};

/**
 * Opens the environment in a directory, or creates both; values are bytes. Throws LmdbDamagedError for a file
 * that `checkLmdbFile` refuses: LMDB itself would end the process.
 *
 * In LMDB's safe mode: a commit is on disk when it is said to be done, and what a crash or a loss of power
 * leaves is the state after some commit. lmdb's `safeRestore` adds nothing to that: it chooses between states
 * that only its `overlappingSync` leaves on disk before they are synced.
 */
export function openLmdb<K extends Key>(
  directory: string,
  options: LmdbOptions,
): RootDatabase<Buffer, K> {
  mkdirSync(directory, { recursive: true, mode: DIRECTORY_MODE });
  checkLmdbFile(join(directory, DATA_FILE), options);
  const settings: RootDatabaseOptionsWithPath & { readonly permissionsMode: number } = {
    path: directory,
    encoding: "binary",
    ...(options.keys === "bytes" ? { keyEncoding: "binary" as const } : {}),
    maxDbs: TABLES_MAX,
    permissionsMode: FILE_MODE,
    // A path such as `./data.d/store` would be taken for a file because of its dot.
    noSubdir: false,
    // With these, lmdb makes promises that it hands to nobody: when a commit fails they reject unheard,
    // which ends the process, or never settle, and then `close` waits for them for ever.
    eventTurnBatching: false,
    overlappingSync: false,
  };
  return open<Buffer, K>(settings);
}

/**
 * Creates the one way to write to an environment.
 *
 * lmdb writes each failure of a commit in the background to stderr itself. So only the first one is tried
 * there: until one succeeds again, attempts are made in the foreground, where a failure is just thrown.
 * That keeps the event loop for up to 0.1 s with 50,000 rows, once per pause between attempts.
 */
export function createLmdbCommit<K extends Key>(root: RootDatabase<Buffer, K>): LmdbCommit {
  let failing = false;
  let last: Promise<unknown> = Promise.resolve();
  const commit = async (write: () => void) => {
    if (failing) {
      root.transactionSync(write);
      failing = false;
      return;
    }
    try {
      await root.batch(write);
    } catch (error) {
      failing = true;
      throw await reasonOf(error);
    }
  };
  return (write) => {
    const done = last.then(() => commit(write));
    last = done.catch(() => undefined);
    return done;
  };
}

/** lmdb's rejection says nothing, and carries a promise that rejects with the reason; it must be heard. */
async function reasonOf(error: unknown): Promise<unknown> {
  const reason = error instanceof Error && "commitError" in error ? error.commitError : undefined;
  if (!(reason instanceof Promise)) return error;
  return await reason.then(
    () => error,
    (cause: unknown) => cause,
  );
}
