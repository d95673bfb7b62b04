/** Writing to an LMDB environment so that a disk that does not take a write is an error like any other. */
import { mkdirSync } from "node:fs";
import { open, type RootDatabase, type RootDatabaseOptionsWithPath } from "lmdb";

/** Runs `write`, whose puts and removals take effect together; durable when it resolves, undone when it rejects. */
export type LmdbCommit = (write: () => void) => Promise<void>;

/** Only the server's own account reads when people were there. */
const DIRECTORY_MODE = 0o700;
const FILE_MODE = 0o600;

/** Opens the environment in a directory, or creates both. */
export function openLmdb(directory: string): RootDatabase<Buffer, string> {
  mkdirSync(directory, { recursive: true, mode: DIRECTORY_MODE });
  const options: RootDatabaseOptionsWithPath & { readonly permissionsMode: number } = {
    path: directory,
    encoding: "binary",
    permissionsMode: FILE_MODE,
    // A path such as `./data.d/presence` would be taken for a file because of its dot.
    noSubdir: false,
    // With these, lmdb makes promises that it hands to nobody: when a commit fails they reject unheard,
    // which ends the process, or never settle, and then `close` waits for them for ever.
    eventTurnBatching: false,
    overlappingSync: false,
  };
  return open<Buffer, string>(options);
}

/**
 * Creates the one way to write to an environment; one call at a time.
 *
 * lmdb writes each failure of a commit in the background to stderr itself. So only the first one is tried
 * there: until one succeeds again, attempts are made in the foreground, where a failure is just thrown.
 * That keeps the event loop for up to 0.1 s with 50,000 times, once per pause between attempts.
 */
export function createLmdbCommit(root: RootDatabase<Buffer, string>): LmdbCommit {
  let failing = false;
  return async (write) => {
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
