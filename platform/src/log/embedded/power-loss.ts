/**
 * A file system in memory that can lose power. It stands in for the disk in tests:
 *
 * ```ts
 * let disk = createPowerLossFiles();
 * const log = await createSegmentLog({ directory: "/log", files: disk, … });
 * …append…
 * disk.cutPower();                                  // whatever is running fails from here on
 * disk = disk.afterPowerLoss(random);               // a new disk with what survived
 * const reopened = await createSegmentLog({ directory: "/log", files: disk, … });
 * ```
 *
 * What survives is what `SegmentFiles` promises and, beyond that, at random: for the bytes of a file that
 * were not synced, nothing, a prefix, or single sectors with zeros between; for the names of a directory
 * that were not synced, a prefix of the changes. The random function decides, so a seed repeats a run.
 *
 * `files.failNext` makes operations fail without a loss of power: a full disk, a sync that fails.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { LogLockedError } from "./errors.ts";
import type { AppendFile, SegmentFiles } from "./files.ts";
import {
  copyInode,
  cutInode,
  emptyInode,
  growInode,
  type Inode,
  NOT_CUT,
  presentBytes,
  settledInode,
  survivorOf,
} from "./power-loss-inode.ts";

export type PowerLossFiles = SegmentFiles & {
  /** Operations that have begun since this disk was made. */
  readonly operationCount: number;
  /** Cuts the power now: every operation in flight and every later one rejects. */
  cutPower(): void;
  /** Cuts the power when the given operation (counted from 1, see `operationCount`) has begun. */
  cutPowerAt(operation: number): void;
  /** What a machine finds that starts again. `random` is uniform in [0, 1). */
  afterPowerLoss(random: () => number): PowerLossFiles;
  /** What a process finds that starts again after kill -9 of this one: all that was written. */
  afterProcessKill(): PowerLossFiles;
  /** Makes the next operation of a kind fail, after `keptBytes` of an append were written. */
  failNext(kind: OperationKind, error: Error, keptBytes?: number): void;
  /** Changes bytes that are on disk, as a failing disk does. `path` must exist. */
  damage(path: string, change: (bytes: Buffer) => Buffer): void;
  /** Writes the files of a directory, as they are, into a real one. */
  writeTo(directory: string, realDirectory: string): Promise<void>;
};

export type OperationKind = "append" | "dataSync" | "truncate" | "rename" | "remove" | "directory";

/** One change of a directory: what each name means from then on. */
type Change = ReadonlyMap<string, Inode | undefined>;

/** Names of one directory: what a process sees, what is on disk, and the changes between the two. */
type Directory = {
  readonly present: Map<string, Inode>;
  readonly durable: Map<string, Inode>;
  readonly pending: Change[];
};

type Failure = { readonly error: Error; readonly keptBytes: number };

export function createPowerLossFiles(): PowerLossFiles {
  return new MemoryDisk();
}

class MemoryDisk implements PowerLossFiles {
  readonly #directories = new Map<string, Directory>();
  readonly #locked = new Set<string>();
  readonly #failures = new Map<OperationKind, Failure>();
  #operationCount = 0;
  #cutAt = Number.POSITIVE_INFINITY;
  #hasPower = true;

  get operationCount(): number {
    return this.#operationCount;
  }

  cutPower(): void {
    this.#hasPower = false;
  }

  cutPowerAt(operation: number): void {
    this.#cutAt = operation;
  }

  failNext(kind: OperationKind, error: Error, keptBytes = 0): void {
    this.#failures.set(kind, { error, keptBytes });
  }

  afterPowerLoss(random: () => number): PowerLossFiles {
    const disk = new MemoryDisk();
    for (const [path, { durable, pending }] of this.#directories) {
      const names = new Map(durable);
      const kept = Math.floor(random() * (pending.length + 1));
      for (const change of pending.slice(0, kept)) applyChange(names, change);
      for (const [name, inode] of names) names.set(name, survivorOf(inode, random));
      disk.#directories.set(path, { present: names, durable: new Map(names), pending: [] });
    }
    return disk;
  }

  /** The page cache outlives the process; what is only there may still be lost with the power. */
  afterProcessKill(): PowerLossFiles {
    const disk = new MemoryDisk();
    const copies = new Map<Inode, Inode>();
    const copy = (inode: Inode): Inode => {
      const copied = copies.get(inode) ?? copyInode(inode);
      copies.set(inode, copied);
      return copied;
    };
    for (const [path, { present, durable, pending }] of this.#directories) {
      disk.#directories.set(path, {
        present: mapValues(present, copy),
        durable: mapValues(durable, copy),
        pending: pending.map((change) => mapValues(change, (inode) => inode && copy(inode))),
      });
    }
    return disk;
  }

  damage(path: string, change: (bytes: Buffer) => Buffer): void {
    const inode = this.#inode(path);
    Object.assign(inode, settledInode(change(Buffer.from(presentBytes(inode)))));
  }

  async writeTo(directory: string, realDirectory: string): Promise<void> {
    await mkdir(realDirectory, { recursive: true });
    for (const [name, inode] of this.#directory(directory).present) {
      await writeFile(join(realDirectory, name), presentBytes(inode));
    }
  }

  async createDirectory(directory: string): Promise<void> {
    await this.#begin();
    if (this.#directories.has(directory)) return;
    this.#directories.set(directory, { present: new Map(), durable: new Map(), pending: [] });
  }

  async lock(path: string): Promise<AsyncDisposable> {
    if (this.#locked.has(path)) throw new LogLockedError(`${path} is locked.`);
    this.#locked.add(path);
    return {
      [Symbol.asyncDispose]: async () => {
        this.#locked.delete(path);
      },
    };
  }

  async list(directory: string): Promise<string[]> {
    await this.#begin();
    return [...this.#directory(directory).present.keys()];
  }

  async size(path: string): Promise<number> {
    await this.#begin();
    return presentBytes(this.#inode(path)).length;
  }

  async read(path: string, position: number, bytes: number): Promise<Buffer> {
    await this.#begin();
    return Buffer.from(presentBytes(this.#inode(path)).subarray(position, position + bytes));
  }

  async openAppend(path: string): Promise<AppendFile> {
    await this.#begin();
    const { present } = this.#directory(dirname(path));
    const inode = present.get(basename(path)) ?? emptyInode();
    if (!present.has(basename(path))) {
      this.#change(dirname(path), new Map([[basename(path), inode]]));
    }
    return {
      append: (bytes) => this.#append(inode, bytes),
      dataSync: () => this.#dataSync(inode),
      truncate: async (size) => {
        await this.#attempt("truncate");
        cutInode(inode, size);
      },
      close: async () => {},
    };
  }

  async #append(inode: Inode, bytes: Uint8Array): Promise<void> {
    this.#requirePower();
    const failure = this.#takeFailure("append");
    growInode(inode, failure === undefined ? bytes : bytes.subarray(0, failure.keptBytes));
    await this.#begin();
    if (failure !== undefined) throw failure.error;
  }

  async #dataSync(inode: Inode): Promise<void> {
    const { present } = inode;
    await this.#attempt("dataSync");
    inode.durable = present;
    inode.cutTo = NOT_CUT;
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#attempt("rename");
    const inode = this.#inode(from);
    const change: Change = new Map([
      [basename(from), undefined],
      [basename(to), inode],
    ]);
    this.#change(dirname(from), change);
  }

  async remove(path: string): Promise<void> {
    await this.#attempt("remove");
    this.#change(dirname(path), new Map([[basename(path), undefined]]));
  }

  async syncDirectory(path: string): Promise<void> {
    const { durable, pending } = this.#directory(path);
    const count = pending.length;
    await this.#attempt("directory");
    for (const change of pending.splice(0, count)) applyChange(durable, change);
  }

  /** Every operation takes a turn of the event loop, and fails if the power goes meanwhile. */
  async #begin(): Promise<void> {
    this.#operationCount += 1;
    if (this.#operationCount >= this.#cutAt) this.cutPower();
    await nextTurn();
    this.#requirePower();
  }

  async #attempt(kind: OperationKind): Promise<void> {
    const failure = this.#takeFailure(kind);
    await this.#begin();
    if (failure !== undefined) throw failure.error;
  }

  #requirePower(): void {
    if (!this.#hasPower) throw new Error("The power is off.");
  }

  #takeFailure(kind: OperationKind): Failure | undefined {
    const failure = this.#failures.get(kind);
    this.#failures.delete(kind);
    return failure;
  }

  #change(path: string, change: Change): void {
    const directory = this.#directory(path);
    applyChange(directory.present, change);
    directory.pending.push(change);
  }

  #directory(path: string): Directory {
    const directory = this.#directories.get(path);
    if (directory === undefined) throw new Error(`There is no directory ${path}.`);
    return directory;
  }

  #inode(path: string): Inode {
    const inode = this.#directory(dirname(path)).present.get(basename(path));
    if (inode === undefined) throw new Error(`There is no file ${path}.`);
    return inode;
  }
}

function applyChange(names: Map<string, Inode>, change: Change): void {
  for (const [name, inode] of change) {
    if (inode === undefined) names.delete(name);
    else names.set(name, inode);
  }
}

function mapValues<From, To>(
  map: ReadonlyMap<string, From>,
  to: (value: From) => To,
): Map<string, To> {
  return new Map([...map].map(([name, value]) => [name, to(value)]));
}
