/**
 * Where presence keeps what in Redis. People are spread over SHARDS; all keys and the channel of a person carry
 * their shard's hash tag, so that one script decides about a session, its person, the index that expires and
 * the notice, in one slot of a cluster, and one script serves all of a batch's people of that shard.
 *
 * ```
 * presence:{p17}:state             hash    change: number of the newest change · swept, unknown_until,
 *                                          hold_before, hold_until: times in ms
 * presence:{p17}:expiry            zset    person ⏎ session → deadline in ms
 * presence:{p17}:seen              zset    person online → when to put them on record next, in ms
 * presence:{p17}:gone              set     people known to be offline while the absent are unknown
 * presence:{p17}:person:<person>   hash    session → deadline ⏎ call ⏎ gateway ⏎ address; "" → last heard from, ms
 * presence:{p17}:last-seen:<person>        ms; the last-seen store
 * presence:{p17}:status:<person>   channel "<change> <online|offline> <last heard from in ms, or nothing>"
 * presence:gateway:{<gateway>}     hash    session → person
 * presence:gateways                zset    gateway → until when it counts, in ms
 * presence:last-seen-used                  "1" once anybody was seen
 * presence:partition-routes        hash    partition → generation ⏎ end ⏎ address; see partition-routes.lua
 * ```
 *
 * ⏎ is a line feed; ids contain none.
 */

/**
 * Slots of a cluster that presence can spread over, and scripts of one batch of heartbeats at most. Part of the
 * layout: instances with different numbers would not find each other's sessions.
 */
export const SHARDS = 64;

const SHARD_KEYS = ["state", "expiry", "seen", "gone"];

export type RedisKeys = ReturnType<typeof createRedisKeys>;

export function createRedisKeys(prefix: string) {
  const base = `${prefix}presence:`;
  const tags = Array.from({ length: SHARDS }, (_, shard) => `p${shard}`);
  const bases = tags.map((tag) => `${base}{${tag}}:`);
  const inShard = (shard: number, name: string) => `${bases[shard]}${name}`;
  return {
    tag: (shard: number) => tags[shard] ?? "",
    /** In the order that the scripts want. */
    shard: tags.map((_, shard) => SHARD_KEYS.map((name) => inShard(shard, name))),
    person: (shard: number, userId: string) => inShard(shard, `person:${userId}`),
    lastSeen: (shard: number, userId: string) => inShard(shard, `last-seen:${userId}`),
    channelPrefix: (shard: number) => inShard(shard, "status:"),
    channel: (shard: number, userId: string) => inShard(shard, `status:${userId}`),
    /** The person of a channel. */
    userOf: (channel: string) =>
      channel.slice(channel.indexOf(":status:", base.length) + ":status:".length),
    gateway: (gatewayId: string) => `${base}gateway:{${gatewayId}}`,
    gateways: `${base}gateways`,
    lastSeenUsed: `${base}last-seen-used`,
    partitionRoutes: `${base}partition-routes`,
  };
}

/** The shard of a person: FNV-1a over the id's UTF-16 code units. */
export function shardOf(userId: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < userId.length; index++) {
    hash = Math.imul(hash ^ userId.charCodeAt(index), 0x01000193);
  }
  return (hash >>> 0) % SHARDS;
}

/** Puts items together by the shard of their person. */
export function groupByShard<T>(
  items: readonly T[],
  userIdOf: (item: T) => string,
): Map<number, T[]> {
  const groups = new Map<number, T[]>();
  for (const item of items) {
    const shard = shardOf(userIdOf(item));
    const group = groups.get(shard);
    if (group === undefined) groups.set(shard, [item]);
    else group.push(item);
  }
  return groups;
}
