/**
 * Storage in a directory, for programs on Node. Import it from `@parley/sdk/node/file-storage`, so that
 * bundles for browsers never see it.
 *
 *     <directory>/journal        0600   a batch per line, in order (journal-codec.ts)
 *     <directory>/journal.next   0600   a shorter journal being written; replaces the other by rename
 *     <directory>/lock           0600   the process id of the program that has the directory open
 *
 * A write is there when its line is synced to disk. Overlapping writes share one sync.
 */
import { type FileHandle, mkdir, open, readFile, rename, rm, truncate } from "node:fs/promises";
import { join } from "node:path";
import { Code } from "@connectrpc/connect";
import { createDeferred, type Deferred } from "../async/deferred.ts";
import { clientError } from "../errors.ts";
import {
  type ClientStorage,
  ENTRIES_KEPT_MAX,
  type StorageBatch,
} from "../storage/client-storage.ts";
import {
  applyBatch,
  clearState,
  createState,
  entriesBefore,
  type MutableState,
  toStoredState,
} from "../storage/state.ts";
import { lockDirectory, type OwnProcess } from "./directory-lock.ts";
import { decodeJournal, encodeLine } from "./journal-codec.ts";

export { DirectoryInUseError, type OwnProcess } from "./directory-lock.ts";

/** A journal below this size is never rewritten: reading it takes milliseconds. */
const COMPACTION_BYTES_MIN = 1024 * 1024;
/** The journal is rewritten when it is this many times as long as after the last rewriting. */
const COMPACTION_FACTOR = 4;

export type FileStorageOptions = {
  /** Created with mode 0700 if it is not there. */
  readonly directory: string;
  /** Node's `process`: its id is written into the lock, and other owners are looked for with it. */
  readonly process: OwnProcess;
  readonly entriesKeptMax?: number;
  /** Rewrites the journal above this many bytes; default 1 MiB. */
  readonly compactionBytesMin?: number;
};

/**
 * Opens the storage of a directory.
 *
 * @throws DirectoryInUseError while another program has it open.
 */
export async function openFileStorage(options: FileStorageOptions): Promise<ClientStorage> {
  const { directory } = options;
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const unlock = await lockDirectory(directory, options.process);
  try {
    const entriesKeptMax = options.entriesKeptMax ?? ENTRIES_KEPT_MAX;
    const state = createState();
    const path = join(directory, "journal");
    await rm(`${path}.next`, { force: true });
    const bytes = await replay(path, state, entriesKeptMax);
    const file = await open(path, "a", 0o600);
    await syncDirectory(directory);
    const compactionBytesMin = options.compactionBytesMin ?? COMPACTION_BYTES_MIN;
    return new FileStorage(
      { directory, path, state, entriesKeptMax, compactionBytesMin, unlock },
      file,
      bytes,
    );
  } catch (error) {
    await unlock();
    throw error;
  }
}

/** Rebuilds the state, cuts a torn end off, and returns the journal's length. */
async function replay(path: string, state: MutableState, entriesKeptMax: number): Promise<number> {
  const content = await readFile(path).catch((error: unknown) => {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  });
  if (!content) return 0;
  const { batches, validBytes } = decodeJournal(content);
  for (const batch of batches) applyBatch(state, batch, entriesKeptMax);
  if (validBytes < content.length) await truncate(path, validBytes);
  return validBytes;
}

/** Makes created and renamed names of a directory durable. Windows has no such call and needs none. */
async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, "r").catch(() => undefined);
  if (!handle) return;
  try {
    await handle.sync();
  } catch {
    // Some file systems refuse to sync a directory; there is nothing else to do for them.
  } finally {
    await handle.close();
  }
}

type Place = {
  readonly directory: string;
  readonly path: string;
  readonly state: MutableState;
  readonly entriesKeptMax: number;
  readonly compactionBytesMin: number;
  readonly unlock: () => Promise<void>;
};

type PendingWrite = { readonly batch: StorageBatch; readonly done: Deferred<void> };

class FileStorage implements ClientStorage {
  readonly #place: Place;
  #file: FileHandle;
  #bytes: number;
  #compactAtBytes: number;
  #pending: PendingWrite[] = [];
  #flushing: Promise<void> | undefined;
  #failure: unknown;
  #closed = false;

  constructor(place: Place, file: FileHandle, bytes: number) {
    this.#place = place;
    this.#file = file;
    this.#bytes = bytes;
    this.#compactAtBytes = Math.max(place.compactionBytesMin, bytes);
  }

  async load() {
    this.#assertOpen();
    return toStoredState(this.#place.state);
  }

  async readAccount() {
    this.#assertOpen();
    return this.#place.state.account;
  }

  async readEntries(
    conversationId: string,
    options: { readonly beforeSeq?: bigint | undefined; readonly count: number },
  ) {
    this.#assertOpen();
    return entriesBefore(this.#place.state, conversationId, options.beforeSeq, options.count);
  }

  async write(batch: StorageBatch): Promise<void> {
    this.#assertOpen();
    const done = createDeferred<void>();
    this.#pending.push({ batch, done });
    this.#flushing ??= this.#flush();
    await done.promise;
  }

  async clear(): Promise<void> {
    this.#assertOpen();
    await this.#flushing;
    clearState(this.#place.state);
    await this.#compact();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#flushing;
    await this.#file.close();
    await this.#place.unlock();
  }

  #assertOpen(): void {
    if (this.#closed) throw clientError(Code.Canceled, "CLOSED", "The storage is closed.");
    // After a failed write the journal's end is unknown; what follows could not be replayed.
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #flush(): Promise<void> {
    // Writes of the same turn join the first sync.
    await Promise.resolve();
    while (this.#pending.length > 0) {
      const writes = this.#pending;
      this.#pending = [];
      try {
        await this.#append(writes.map((write) => encodeLine(write.batch)).join(""));
        for (const { batch } of writes) {
          applyBatch(this.#place.state, batch, this.#place.entriesKeptMax);
        }
        if (this.#bytes > this.#compactAtBytes) await this.#compact();
      } catch (error) {
        this.#failure = error;
        for (const { done } of [...writes, ...this.#pending.splice(0)]) done.reject(error);
        break;
      }
      for (const { done } of writes) done.resolve();
    }
    this.#flushing = undefined;
  }

  async #append(lines: string): Promise<void> {
    const bytes = Buffer.from(lines);
    await this.#file.appendFile(bytes);
    await this.#file.datasync();
    this.#bytes += bytes.length;
  }

  /** Writes the state as a journal of its own and puts it in the place of the old one. */
  async #compact(): Promise<void> {
    const { path, directory, state, compactionBytesMin } = this.#place;
    const content = Buffer.from(encodeLine(snapshotOf(state)));
    const next = await open(`${path}.next`, "w", 0o600);
    try {
      await next.writeFile(content);
      await next.sync();
    } finally {
      await next.close();
    }
    await rename(`${path}.next`, path);
    await syncDirectory(directory);
    await this.#file.close();
    this.#file = await open(path, "a", 0o600);
    this.#bytes = content.length;
    this.#compactAtBytes = Math.max(compactionBytesMin, content.length * COMPACTION_FACTOR);
  }
}

function snapshotOf(state: MutableState): StorageBatch {
  return {
    account: state.account ?? null,
    timelines: [...state.timelines.values()],
    entries: [...state.entries.values()].flat(),
    sends: [...state.sends.values()],
    settings: Object.fromEntries(state.settings),
  };
}
