/** One program at a time in a directory: two would overwrite each other's positions. */
import { randomUUID } from "node:crypto";
import { link, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** Another running program uses the directory. */
export class DirectoryInUseError extends Error {
  override readonly name = "DirectoryInUseError";
  readonly directory: string;
  /** The other program's process id. */
  readonly processId: number;

  constructor(directory: string, processId: number) {
    super(`${directory} is in use by process ${processId}.`);
    this.directory = directory;
    this.processId = processId;
  }
}

/** What is needed of Node's global `process`; this library touches no globals of Node by itself. */
export type OwnProcess = {
  readonly pid: number;
  /** With signal 0: returns if the process runs, throws `ESRCH` if not and `EPERM` if it is another user's. */
  kill(processId: number, signal: 0): unknown;
};

/** Attempts to take over a lock whose owner is gone, before giving up. */
const ATTEMPTS_MAX = 5;

/**
 * Takes the directory's lock; the returned function gives it back. A lock that a killed program left behind
 * is taken over.
 *
 * @throws DirectoryInUseError while the owner runs.
 */
export async function lockDirectory(
  directory: string,
  own: OwnProcess,
): Promise<() => Promise<void>> {
  const path = join(directory, "lock");
  // The lock appears by `link` of a complete file: nobody ever reads a half-written one.
  const draft = join(directory, `lock-${randomUUID()}`);
  await writeFile(draft, `${own.pid}\n`, { mode: 0o600 });
  try {
    for (let attempt = 1; ; attempt++) {
      try {
        await link(draft, path);
        return () => rm(path, { force: true });
      } catch (error) {
        if (!hasCode(error, "EEXIST")) throw error;
      }
      const owner = Number.parseInt(await readFile(path, "utf8").catch(() => ""), 10);
      if (isRunning(owner, own) || attempt === ATTEMPTS_MAX) {
        throw new DirectoryInUseError(directory, owner);
      }
      await rm(path, { force: true });
    }
  } finally {
    await rm(draft, { force: true });
  }
}

function isRunning(processId: number, own: OwnProcess): boolean {
  if (!Number.isInteger(processId) || processId <= 0) return false;
  try {
    own.kill(processId, 0);
    return true;
  } catch (error) {
    return hasCode(error, "EPERM");
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
