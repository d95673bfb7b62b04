/**
 * All that the embedded log asks of a file system, as narrow as the rules of durability allow, so that a
 * test can stand in for the disk and lose power (`power-loss.ts`). The product's implementation is
 * `node-files.ts`.
 *
 * What survives the loss of power:
 * - bytes that were appended before a `dataSync` that resolved, and no others for certain. Of the rest,
 *   any part may survive, in any order, with zeros between;
 * - a file's name (its creation, rename, removal) after a `syncDirectory` of its directory that resolved.
 *
 * A failed `dataSync` says that the bytes may be lost and that a repetition proves nothing: the kernel
 * reports an error once and forgets the pages ("fsyncgate", https://lwn.net/Articles/752063/).
 */
export interface SegmentFiles {
  /** Creates a directory and what is missing above it, and makes their names durable. */
  createDirectory(directory: string): Promise<void>;
  /**
   * Takes the exclusive lock named by a path. It ends with the process, however that ends.
   * Rejects with LogLockedError when someone has it.
   */
  lock(path: string): Promise<AsyncDisposable>;
  /** The names in a directory, in no order. */
  list(directory: string): Promise<string[]>;
  /** Bytes of a file. */
  size(path: string): Promise<number>;
  /** Reads up to `bytes` from a position; fewer only at the end of the file. */
  read(path: string, position: number, bytes: number): Promise<Buffer>;
  /** Opens a file for appending and creates it, empty, if there is none. */
  openAppend(path: string): Promise<AppendFile>;
  /** Renames a file within its directory, over an existing one if need be. */
  rename(from: string, to: string): Promise<void>;
  /** Removes a file; one that is not there is no error. */
  remove(path: string): Promise<void>;
  /** Makes the names of a directory durable. */
  syncDirectory(directory: string): Promise<void>;
}

/** An open file that only grows at its end, or is cut there. It survives a rename. */
export interface AppendFile {
  /** Writes all the bytes at the end. After a rejection, some of them may be there. */
  append(bytes: Uint8Array): Promise<void>;
  /** Makes what was appended and cut so far durable. */
  dataSync(): Promise<void>;
  /** Cuts the file; `size` is at most its present size. */
  truncate(size: number): Promise<void>;
  close(): Promise<void>;
}
