/** What a history happens to: a medium that instances share, and that can lose its power. */
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLmdbMessageStore } from "../embedded/lmdb-message-store.ts";
import type { MessageStore } from "../ports.ts";
import {
  createModelDisk,
  createModelStore,
  ModelCrash,
  type ModelStoreOptions,
  type StoreFault,
} from "./model-store.ts";

export type OpenOptions = Pick<ModelStoreOptions, "beforeStep" | "random" | "chooseReplay">;

export type HistoryWorld = AsyncDisposable & {
  /** The store as one instance sees it. */
  open(options: OpenOptions): Promise<MessageStore>;
  /** Makes everything written so far survive the loss of power. */
  flush(): Promise<void>;
  /** Goes back to the last flush; what the instances of before still write is lost. */
  losePower(): Promise<void>;
  /** Called after each write that a reader could see. */
  onStep: () => void;
};

/** Instances over the model, which write step by step. */
export function createModelWorld(faults: ReadonlySet<StoreFault> = new Set()): HistoryWorld {
  const disk = createModelDisk();
  const world: HistoryWorld = {
    open: async (options) => createModelStore({ ...options, disk, faults }),
    flush: async () => disk.flush(),
    losePower: async () => disk.losePower(),
    onStep: () => undefined,
    [Symbol.asyncDispose]: async () => undefined,
  };
  disk.onStep = () => world.onStep();
  return world;
}

/**
 * Instances over one real LMDB store, as services in one process have it. A crash drops what was not
 * committed, and so does the loss of power: both go back to a copy of the files taken after a commit.
 */
export async function createLmdbWorld(): Promise<HistoryWorld> {
  const base = mkdtempSync(join(tmpdir(), "parley-history-"));
  let generation = 0;
  let directory = join(base, "0");
  const openStore = () =>
    createLmdbMessageStore({
      directory,
      commitDelayMs: 60_000, // Only a flush commits, so that everything since can be lost.
      onProblem: (error) => {
        throw error;
      },
    });
  let store = await openStore();
  let flushed: string | undefined;
  const world: HistoryWorld = {
    open: async (options) =>
      gated(
        () => store,
        options,
        world,
        () => generation,
      ),
    async flush() {
      await store.flush();
      const copy = join(base, `copy-${generation}-${Date.now()}-${Math.random()}`);
      cpSync(directory, copy, { recursive: true });
      if (flushed !== undefined) rmSync(flushed, { recursive: true });
      flushed = copy;
    },
    async losePower() {
      const lost = store;
      generation++;
      directory = join(base, String(generation));
      if (flushed !== undefined) cpSync(flushed, directory, { recursive: true });
      store = await openStore();
      await lost[Symbol.asyncDispose]();
    },
    onStep: () => undefined,
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]();
      rmSync(base, { recursive: true, force: true });
    },
  };
  return world;
}

/** The store with the history's gates in front of its writes. */
function gated(
  current: () => MessageStore,
  options: OpenOptions,
  world: HistoryWorld,
  generation: () => number,
): MessageStore {
  const born = generation();
  const { beforeStep, chooseReplay } = options;
  return {
    full: false,
    bindLog: (identity) => current().bindLog(identity),
    async loadCheckpoint(partition) {
      const stored = await current().loadCheckpoint(partition);
      if (stored === undefined) return undefined;
      const replayOffset = chooseReplay?.(partition, stored.replayOffset) ?? stored.replayOffset;
      return { ...stored, replayOffset };
    },
    loadConversations: (ids) => current().loadConversations(ids),
    findDedupe: (queries) => current().findDedupe(queries),
    write(batch) {
      const durable = Promise.withResolvers<void>();
      const readable = (async () => {
        await beforeStep();
        if (born !== generation()) throw new ModelCrash("the power was lost");
        const written = current().write(batch);
        // A store that lost its power is closed behind its back, and then commits what is lost.
        const onDurable = () => {
          if (born === generation()) durable.resolve();
        };
        written.durable.then(onDurable, () => undefined);
        await written.readable;
        world.onStep();
      })();
      return { readable, durable: durable.promise };
    },
    readRows: (query) => current().readRows(query),
    findRow: (...query) => current().findRow(...query),
    readClosedWindows: (...query) => current().readClosedWindows(...query),
    readReceipts: (...query) => current().readReceipts(...query),
    raiseReceipt: (...query) => current().raiseReceipt(...query),
    readParked: (...query) => current().readParked(...query),
    purgeDedupe: (...query) => current().purgeDedupe(...query),
    [Symbol.asyncDispose]: async () => undefined,
  };
}
