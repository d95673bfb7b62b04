/** How sessions leave the registry in Redis: because their gateway says so, or because they were silent. */
import { RedisCommandError, type RedisConnection } from "@parley/platform/storage/engine/redis";
import { groupByShard, type RedisKeys } from "./redis-keys.ts";
import {
  ENTRIES_PER_SCRIPT_MAX,
  parseTakeOut,
  type SessionOfPerson,
  type SessionScripts,
} from "./redis-session-scripts.ts";
import type { ShardBook } from "./redis-shard-book.ts";

export type SessionOfGateway = { readonly gatewayId: string; readonly sessionId: string };

export type Removal = {
  /** Takes out sessions: a gateway's, or for nobody those that are over. Resolves with those it took. */
  takeOut(
    gatewayId: string | undefined,
    sessions: readonly SessionOfPerson[],
  ): Promise<SessionOfGateway[]>;
  removeSessions(gatewayId: string, sessionIds: readonly string[]): Promise<void>;
  /** Also forgets the gateway itself. */
  removeGateway(gatewayId: string): Promise<void>;
  /** Takes sessions out of what their gateways are remembered to have. */
  forget(sessions: readonly SessionOfGateway[]): Promise<void>;
};

/** Sessions of one page of a gateway that ends. */
const GATEWAY_PAGE = 1000;

export function createRemoval(parts: {
  readonly connection: RedisConnection;
  readonly keys: RedisKeys;
  readonly scripts: SessionScripts;
  readonly book: Pick<ShardBook, "heardOf">;
}): Removal {
  const { connection, keys, scripts, book } = parts;

  const takeOut: Removal["takeOut"] = async (gatewayId, sessions) => {
    const shards = [...groupByShard(sessions, ({ userId }) => userId)].flatMap(([shard, all]) =>
      inPages(all).map((some) => [shard, some] as const),
    );
    const replies = await connection.runEach(
      shards.map(([shard, some]) => scripts.takeOut(shard, gatewayId, some)),
    );
    const taken: SessionOfGateway[] = [];
    for (const [index, [shard]] of shards.entries()) {
      const reply = replies[index];
      // What the others have done is true all the same.
      if (reply instanceof RedisCommandError) continue;
      const parsed = parseTakeOut(reply);
      taken.push(...parsed.taken);
      book.heardOf(shard, parsed.changes, parsed.counts);
    }
    throwFirst(replies);
    return taken;
  };

  const forget = async (gatewayId: string, sessionIds: readonly string[]) => {
    await connection.run(
      inPages(sessionIds).map((some) => ["hdel", keys.gateway(gatewayId), ...some]),
    );
  };

  return {
    takeOut,
    async removeSessions(gatewayId, sessionIds) {
      if (sessionIds.length === 0) return;
      const [found] = await connection.run([["hmget", keys.gateway(gatewayId), ...sessionIds]]);
      const userIds = found as (string | null)[];
      const sessions = sessionIds.flatMap((sessionId, index) => {
        const userId = userIds[index];
        return typeof userId === "string" ? [{ userId, sessionId }] : [];
      });
      await takeOut(gatewayId, sessions);
      await forget(gatewayId, sessionIds);
    },
    async removeGateway(gatewayId) {
      const key = keys.gateway(gatewayId);
      let cursor = "0";
      do {
        const [page] = await connection.run([["hscan", key, cursor, "COUNT", GATEWAY_PAGE]]);
        const [next, fields] = page as [string, string[]];
        const sessions: SessionOfPerson[] = [];
        for (let at = 0; at < fields.length; at += 2) {
          sessions.push({ sessionId: fields[at] ?? "", userId: fields[at + 1] ?? "" });
        }
        await takeOut(gatewayId, sessions);
        cursor = next;
      } while (cursor !== "0");
      await connection.run([["del", key], scripts.countGateways("", gatewayId)]);
    },
    async forget(sessions) {
      const byGateway = Map.groupBy(sessions, ({ gatewayId }) => gatewayId);
      for (const [gatewayId, some] of byGateway) {
        await forget(
          gatewayId,
          some.map(({ sessionId }) => sessionId),
        );
      }
    },
  };
}

export function throwFirst(replies: readonly unknown[]): void {
  for (const reply of replies) if (reply instanceof RedisCommandError) throw reply.refusal;
}

function inPages<T>(items: readonly T[]): T[][] {
  const pages: T[][] = [];
  for (let at = 0; at < items.length; at += ENTRIES_PER_SCRIPT_MAX) {
    pages.push(items.slice(at, at + ENTRIES_PER_SCRIPT_MAX));
  }
  return pages;
}
