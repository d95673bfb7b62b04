import { open } from "node:fs/promises";
import { LogLockedError } from "./errors.ts";

/** SQLite's result code for a lock that another connection holds. https://sqlite.org/rescode.html#busy */
const SQLITE_BUSY = 5;

/**
 * An exclusive lock on a path that no crash leaves behind.
 *
 * Node has no flock, and a file with a process id in it is a guess: ids are reused, are not shared
 * between containers on one volume, and two processes can take a stale file over at once. SQLite holds
 * the kernel's own lock (fcntl) on its database for as long as an exclusive transaction is open, excludes
 * a second connection of the same process too, and the kernel lets go with the process. Nothing is ever
 * written into the database. A file that is not there is created with the mode.
 */
export async function lockFile(path: string, mode: number): Promise<AsyncDisposable> {
  await createFile(path, mode);
  const { DatabaseSync } = await import("node:sqlite");
  const database = new DatabaseSync(path);
  try {
    // No journal file: there is nothing to roll back.
    database.exec("PRAGMA journal_mode = MEMORY; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE");
  } catch (error) {
    database.close();
    if (isBusy(error)) {
      throw new LogLockedError(
        `${path} is locked: another process has this log open. Stop it, or use another directory.`,
        { cause: error },
      );
    }
    throw error;
  }
  return {
    [Symbol.asyncDispose]: async () => {
      if (database.isOpen) database.close();
    },
  };
}

/**
 * SQLite would create it for everybody to read. One that is there must not even be opened: closing any
 * descriptor of a file ends the locks that the process has on it.
 */
async function createFile(path: string, mode: number): Promise<void> {
  try {
    await (await open(path, "wx", mode)).close();
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
  }
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && "errcode" in error && error.errcode === SQLITE_BUSY;
}
