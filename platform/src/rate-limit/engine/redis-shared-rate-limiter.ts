/** Limits in Redis: one key per bucket that is not full, decided by a script and the engine's clock. */
import { readScripts } from "../../storage/engine/lua.ts";
import type { RedisCommand, RedisConnection } from "../../storage/engine/redis.ts";
import { checkLimit } from "../limit-rules.ts";
import type { SharedRateLimit, SharedRateLimiter } from "../port.ts";

export type RedisSharedRateLimiterOptions = SharedRateLimit & {
  /** Stays its caller's to dispose of. */
  readonly connection: RedisConnection;
  /** The engine's time in ms; for tests alone. */
  readonly engineTimeMs?: () => number;
};

const directory = new URL("./", import.meta.url);

/** Opens a limit. Throws RangeError for one that cannot be meant. Nothing is asked of Redis. */
export function createRedisSharedRateLimiter(
  options: RedisSharedRateLimiterOptions,
): SharedRateLimiter {
  checkLimit(options);
  const { connection, name, ratePerSecond, burst, engineTimeMs } = options;
  connection.define(readScripts(directory, { takeTokens: ["take-tokens"] }));
  const prefix = `${connection.prefix}limit:${name}:`;

  const decide = (reply: unknown, cost: number) => {
    if (reply === "ok") return { ok: true } as const;
    const missing = cost - Number(reply);
    return { ok: false, retryAfterMs: Math.ceil((missing * 1000) / ratePerSecond - 1e-3) } as const;
  };

  return {
    async take(requests) {
      const time = engineTimeMs === undefined ? "" : engineTimeMs();
      const possible = requests.filter(({ cost = 1 }) => cost <= burst);
      const replies = await connection.run(
        possible.map(
          ({ key, cost = 1 }): RedisCommand => [
            ...(["takeTokens", 1, `${prefix}${key}`, time, ratePerSecond / 1000, burst] as const),
            cost,
          ],
        ),
      );
      let at = 0;
      return requests.map(({ cost = 1 }) =>
        cost > burst
          ? { ok: false, retryAfterMs: Number.POSITIVE_INFINITY }
          : decide(replies[at++], cost),
      );
    },
    async [Symbol.asyncDispose]() {},
  };
}
