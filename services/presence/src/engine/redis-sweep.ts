/** One sweep over all shards; how many processes do it is all one, as the scripts decide. */
import { RedisCommandError, type RedisConnection } from "@parley/platform/storage/engine/redis";
import type { LastSeenStore } from "../ports.ts";
import { type RedisKeys, SHARDS, shardOf } from "./redis-keys.ts";
import { type Removal, throwFirst } from "./redis-removal.ts";
import {
  ENTRIES_PER_SCRIPT_MAX,
  parseSweep,
  type SessionOfPerson,
  type SessionScripts,
} from "./redis-session-scripts.ts";
import type { ShardBook } from "./redis-shard-book.ts";

/** Rounds of one sweep, some 300,000 sessions; the next sweep goes on. */
const ROUNDS_MAX = 20;

type Parts = {
  readonly connection: RedisConnection;
  readonly keys: RedisKeys;
  readonly scripts: SessionScripts;
  readonly book: ShardBook;
  readonly removal: Removal;
  readonly lastSeen: Pick<LastSeenStore, "record">;
};

/** Takes out sessions that are over, and puts people online on record who are due. */
export async function sweepShards(parts: Parts): Promise<void> {
  let shards = Array.from({ length: SHARDS }, (_, shard) => shard);
  for (let round = 0; round < ROUNDS_MAX && shards.length > 0; round++) {
    shards = await sweepOnce(parts, shards);
  }
}

/** Resolves with the shards that have more. */
async function sweepOnce(parts: Parts, shards: readonly number[]): Promise<number[]> {
  const { connection, scripts, book, removal } = parts;
  const replies = await connection.runEach(shards.map((shard) => scripts.sweep(shard)));
  const over: SessionOfPerson[] = [];
  const due: string[] = [];
  const unfinished: number[] = [];
  for (const [index, shard] of shards.entries()) {
    const reply = replies[index];
    if (reply instanceof RedisCommandError) continue;
    const swept = parseSweep(reply);
    book.heardOf(shard, [], swept.counts);
    book.heardUnknown(shard, swept.unknown);
    over.push(...swept.over);
    due.push(...swept.dueUserIds);
    const most = Math.max(swept.over.length, swept.dueUserIds.length);
    if (most >= ENTRIES_PER_SCRIPT_MAX) unfinished.push(shard);
  }
  await putOnRecord(parts, due);
  await removal.forget(await removal.takeOut(undefined, over));
  throwFirst(replies);
  return unfinished;
}

async function putOnRecord(
  { connection, keys, lastSeen }: Parts,
  userIds: readonly string[],
): Promise<void> {
  const times = await connection.run(
    userIds.map((userId) => ["hget", keys.person(shardOf(userId), userId), ""]),
  );
  for (const [index, userId] of userIds.entries()) {
    const time = times[index];
    if (typeof time === "string") lastSeen.record(userId, Number(time));
  }
}
