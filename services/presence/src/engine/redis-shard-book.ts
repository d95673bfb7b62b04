/** What this process knows of the shards, from the replies that it got. */
import type { LastSeenStore } from "../ports.ts";
import { SHARDS } from "./redis-keys.ts";
import type { Change, Counts } from "./redis-session-scripts.ts";
import type { RedisWatches } from "./redis-watches.ts";

export type ShardBook = {
  /** Takes in what a script has done to people: their watches are told, and who left goes on record. */
  heardOf(shard: number, changes: readonly Change[], counts: Counts): void;
  /** When the unknown time is over, whoever has not come back is offline, and the watches read again. */
  heardUnknown(shard: number, unknown: boolean): void;
  /** Whether the shard was there at any time: not to find it again is a loss. */
  hasMet(shard: number): boolean;
  readonly counts: Counts;
};

const NOBODY: Counts = { sessions: 0, onlineUsers: 0 };

export function createShardBook(parts: {
  readonly lastSeen: Pick<LastSeenStore, "record">;
  readonly watches: () => Pick<RedisWatches, "apply" | "markStale">;
}): ShardBook {
  const { lastSeen, watches } = parts;
  const counts = Array.from({ length: SHARDS }, () => NOBODY);
  const met = new Set<number>();
  const unknown = new Set<number>();
  return {
    heardOf(shard, changes, now) {
      met.add(shard);
      counts[shard] = now;
      for (const { userId, status, heardTimeMs } of changes) {
        if (status === "offline" && heardTimeMs !== undefined) lastSeen.record(userId, heardTimeMs);
      }
      watches().apply(changes);
    },
    heardUnknown(shard, isUnknown) {
      met.add(shard);
      if (isUnknown) unknown.add(shard);
      else if (unknown.delete(shard)) watches().markStale(shard);
    },
    hasMet: (shard) => met.has(shard),
    get counts() {
      return counts.reduce(
        (sum, { sessions, onlineUsers }) => ({
          sessions: sum.sessions + sessions,
          onlineUsers: sum.onlineUsers + onlineUsers,
        }),
        NOBODY,
      );
    },
  };
}
