/** Instances over one keyspace, each of which can die, or stand still, before any request that writes. */
import { setImmediate } from "node:timers/promises";
import type { CassandraSession } from "@parley/platform/storage/engine/cassandra";
import type { CassandraMedium } from "./cassandra-medium.ts";
import { createRandom } from "./history-run.ts";
import type { HistoryWorld, OpenOptions } from "./history-world.ts";
import { ModelCrash } from "./model-store.ts";

/** Turns of the event loop by which a write may be late. */
const TURNS_MAX = 6;

/**
 * A world on an empty medium; disposing empties it again. The nodes sync before they answer, so the loss of power
 * ends all instances and takes nothing back.
 */
export function createCassandraWorld(medium: CassandraMedium): HistoryWorld {
  let age = 0;
  // Its own: how often it is asked depends on the engine, and what happens to instances must not.
  const shuffle = createRandom(1);
  const world: HistoryWorld = {
    async open({ beforeStep, chooseReplay }: OpenOptions) {
      const born = age;
      const { session } = medium;
      const gated: CassandraSession = {
        keyspace: session.keyspace,
        read: (...query) => session.read(...query),
        async write(...statements) {
          if (statements.length === 0) return;
          // What is sent side by side arrives in any order.
          for (let turn = shuffle() * TURNS_MAX; turn >= 1; turn--) await setImmediate();
          await beforeStep();
          if (born !== age) throw new ModelCrash("the power was lost");
          await session.write(...statements);
          world.onStep();
        },
        writeIfAbsent: (statement) => session.writeIfAbsent(statement),
        [Symbol.asyncDispose]: async () => undefined,
      };
      const store = await medium.open({ session: gated, onProblem: () => undefined });
      const loadCheckpoint = store.loadCheckpoint.bind(store);
      store.loadCheckpoint = async (partition) => {
        const stored = await loadCheckpoint(partition);
        if (stored === undefined || chooseReplay === undefined) return stored;
        return { ...stored, replayOffset: chooseReplay(partition, stored.replayOffset) };
      };
      return store;
    },
    flush: async () => undefined,
    losePower: async () => void age++,
    onStep: () => undefined,
    [Symbol.asyncDispose]: () => medium.wipe(),
  };
  return world;
}
