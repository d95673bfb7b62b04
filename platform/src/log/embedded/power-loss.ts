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

/** The first `length` bytes of a buffer, which nobody changes; behind them is room to grow. */
type Content = { readonly buffer: Buffer; readonly length: number };

/** A file: what a process sees, what is on disk, and the shortest it was cut to since it was synced. */
type Inode = { present: Content; durable: Content; cutTo: number };

/** Names of one directory: what a process sees, what is on disk, and the changes between the two. */
type Directory = {
  readonly present: Map<string, Inode>;
  readonly durable: Map<string, Inode>;
  pending: ((names: Map<string, Inode>) => void)[];
};

const SECTOR_BYTES = 512;
const EMPTY: Content = { buffer: Buffer.alloc(0), length: 0 };
const NOT_CUT = Number.POSITIVE_INFINITY;

export function createPowerLossFiles(): PowerLossFiles {
  return new MemoryDisk();
}

class MemoryDisk implements PowerLossFiles {
  readonly #directories = new Map<string, Directory>();
  readonly #locked = new Set<string>();
  readonly #failures = new Map<OperationKind, { error: Error; keptBytes: number }>();
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
    return this.#copy((directory) => {
      const names = new Map(directory.durable);
      const kept = Math.floor(random() * (directory.pending.length + 1));
      for (const change of directory.pending.slice(0, kept)) change(names);
      return new Map([...names].map(([name, inode]) => [name, survivor(inode, random)]));
    });
  }

  afterProcessKill(): PowerLossFiles {
    return this.#copy(({ present }) => {
      // The page cache outlives the process, and what is only there may still be lost with the power.
      return new Map([...present].map(([name, inode]) => [name, copyOf(inode)]));
    });
  }

  /** A disk with power on which `select` says what each directory holds. */
  #copy(select: (directory: Directory) => Map<string, Inode>): MemoryDisk {
    const copy = new MemoryDisk();
    for (const [path, directory] of this.#directories) {
      const names = select(directory);
      copy.#directories.set(path, { present: names, durable: new Map(names), pending: [] });
    }
    return copy;
  }

  damage(path: string, change: (bytes: Buffer) => Buffer): void {
    const inode = this.#inode(path);
    const changed = change(Buffer.from(bytesOf(inode.present)));
    Object.assign(inode, settled(changed));
  }

  async writeTo(directory: string, realDirectory: string): Promise<void> {
    await mkdir(realDirectory, { recursive: true });
    for (const [name, { present }] of this.#directory(directory).present) {
      await writeFile(join(realDirectory, name), bytesOf(present));
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
    return this.#inode(path).present.length;
  }

  async read(path: string, position: number, bytes: number): Promise<Buffer> {
    await this.#begin();
    return Buffer.from(bytesOf(this.#inode(path).present).subarray(position, position + bytes));
  }

  async openAppend(path: string): Promise<AppendFile> {
    await this.#begin();
    const { present } = this.#directory(dirname(path));
    const inode = present.get(basename(path)) ?? { present: EMPTY, durable: EMPTY, cutTo: NOT_CUT };
    if (!present.has(basename(path))) {
      this.#change(dirname(path), (names) => names.set(basename(path), inode));
    }
    return {
      append: (bytes) => this.#append(inode, bytes),
      dataSync: () => this.#dataSync(inode),
      truncate: async (size) => {
        await this.#attempt("truncate");
        // A buffer of its own: what grows from here must not overwrite what may still be on disk.
        const rest = Buffer.from(bytesOf(inode.present).subarray(0, size));
        inode.present = { buffer: rest, length: size };
        inode.cutTo = Math.min(inode.cutTo, size);
      },
      close: async () => {},
    };
  }

  async #append(inode: Inode, bytes: Uint8Array): Promise<void> {
    this.#requirePower();
    const failure = this.#takeFailure("append");
    const written = failure === undefined ? bytes : bytes.subarray(0, failure.keptBytes);
    inode.present = grown(inode.present, written);
    await this.#begin();
    if (failure !== undefined) throw failure.error;
  }

  async #dataSync(inode: Inode): Promise<void> {
    const failure = this.#takeFailure("dataSync");
    const { present } = inode;
    await this.#begin();
    if (failure !== undefined) throw failure.error;
    inode.durable = present;
    inode.cutTo = NOT_CUT;
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#attempt("rename");
    const inode = this.#inode(from);
    this.#change(dirname(from), (names) => {
      names.delete(basename(from));
      names.set(basename(to), inode);
    });
  }

  async remove(path: string): Promise<void> {
    await this.#attempt("remove");
    this.#change(dirname(path), (names) => names.delete(basename(path)));
  }

  async syncDirectory(path: string): Promise<void> {
    const directory = this.#directory(path);
    const changes = directory.pending.length;
    await this.#attempt("directory");
    for (const change of directory.pending.splice(0, changes)) change(directory.durable);
  }

  /** Every operation takes a turn of the event loop, and fails if the power goes meanwhile. */
  async #begin(): Promise<void> {
    this.#operationCount += 1;
    if (this.#operationCount >= this.#cutAt) this.cutPower();
    await nextTurn();
    this.#requirePower();
  }

  #requirePower(): void {
    if (!this.#hasPower) throw new Error("The power is off.");
  }

  async #attempt(kind: OperationKind): Promise<void> {
    const failure = this.#takeFailure(kind);
    await this.#begin();
    if (failure !== undefined) throw failure.error;
  }

  #takeFailure(kind: OperationKind): { error: Error; keptBytes: number } | undefined {
    const failure = this.#failures.get(kind);
    this.#failures.delete(kind);
    return failure;
  }

  #change(path: string, change: (names: Map<string, Inode>) => void): void {
    const directory = this.#directory(path);
    change(directory.present);
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

/** What is left of a file: what was synced and, of the rest, what chance leaves. */
function survivor({ present, durable, cutTo }: Inode, random: () => number): Inode {
  const isCut = cutTo < durable.length;
  // A cut that was not synced has happened or not.
  if (isCut && random() < 0.5) return settled(Buffer.from(bytesOf(durable)));
  const kept = isCut ? cutTo : durable.length;
  const bytes = bytesOf(present);
  return settled(Buffer.concat([bytes.subarray(0, kept), tornTail(bytes.subarray(kept), random)]));
}

function tornTail(tail: Buffer, random: () => number): Buffer {
  const fate = random();
  if (fate < 0.25) return tail.subarray(0, 0);
  if (fate < 0.5) return tail.subarray(0, Math.floor(random() * (tail.length + 1)));
  const torn = Buffer.from(tail);
  for (let at = 0; at < torn.length; at += SECTOR_BYTES) {
    if (random() < 0.5) torn.fill(0, at, at + SECTOR_BYTES);
  }
  return torn;
}

function bytesOf(content: Content): Buffer {
  return content.buffer.subarray(0, content.length);
}

/** A file all of whose bytes are on disk. */
function settled(bytes: Buffer): Inode {
  const content = { buffer: bytes, length: bytes.length };
  return { present: content, durable: content, cutTo: NOT_CUT };
}

function copyOf({ present, durable, cutTo }: Inode): Inode {
  const copy = (content: Content): Content => {
    return { buffer: Buffer.from(bytesOf(content)), length: content.length };
  };
  return { present: copy(present), durable: copy(durable), cutTo };
}

/** Writes into the room behind the content, or moves to a larger buffer. */
function grown({ buffer, length }: Content, bytes: Uint8Array): Content {
  const needed = length + bytes.length;
  let target = buffer;
  if (needed > buffer.length) {
    target = Buffer.alloc(Math.max(needed, buffer.length * 2));
    target.set(buffer.subarray(0, length));
  }
  target.set(bytes, length);
  return { buffer: target, length: needed };
}
